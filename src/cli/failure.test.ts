/** @module What a host lacks, from the errno of the call that missed it to the user's sentence. */

import { expect, test } from "bun:test";
import { NativeError } from "../native/errors.ts";
import { exitCode, Failure, hostFailure } from "./failure.ts";

const errno = {
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EOPNOTSUPP: 95,
  ENOENT: 2,
  EINVAL: 22,
};

const cases: readonly [string, keyof typeof errno, number, string][] = [
  ["gvm_open", "ENOENT", exitCode.host, "/dev/kvm is missing: load kvm_intel or kvm_amd"],
  ["gvm_open", "EACCES", exitCode.host, "join the group kvm or run as root"],
  ["gvm_open", "EOPNOTSUPP", exitCode.host, "use Linux 6.1 or later"],
  ["gvm_facts", "EBUSY", exitCode.host, "another hypervisor holds"],
  ["gvm_configure", "EACCES", exitCode.host, "run as root or give access to /dev/userfaultfd"],
  ["gvm_configure", "EOPNOTSUPP", exitCode.host, "use Linux 6.1 or later"],
  ["gvm_configure", "ENOMEM", exitCode.host, "lower --local-memory"],
  ["gvm_configure", "EAGAIN", exitCode.host, "no more threads"],
  ["gvm_run", "EAGAIN", exitCode.host, "no more threads"],
  ["gvm_configure", "EINVAL", exitCode.internal, "gvm_configure: EINVAL"],
];

for (const [call, name, code, says] of cases) {
  test(`${call} ${name}`, () => {
    const failure = hostFailure(new NativeError(call, errno[name]), "192.0.2.1");
    expect(failure.message).toContain(says);
    expect(failure.message).not.toContain("\n");
    expect(failure.code).toBe(code);
  });
}

test("what has its sentence keeps it", () => {
  const failure = new Failure(exitCode.usage, "no such file");
  expect(hostFailure(failure, "192.0.2.1")).toBe(failure);
});
