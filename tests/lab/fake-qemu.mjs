/**
 * @module Stands in for QEMU where the lab itself is tested: speaks a host's part on stdout and a
 * guest's on the console socket. First argument: how it behaves; the second: a file that gets the
 * pid of each start; the rest is what QEMU would get.
 */

import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [behaviour = "", pids = "", ...args] = process.argv.slice(2);
appendFileSync(pids, `${process.pid}\n`);
const starts = readFileSync(pids, "utf8").trim().split("\n").length;
/** Of the console of that name. */
function addressOf(id) {
  const start = `socket,id=${id},host=127.0.0.1,port=`;
  const port = args.find((each) => each.startsWith(start))?.slice(start.length);
  return { hostname: "127.0.0.1", port: Number.parseInt(port, 10) };
}

const guest = addressOf("guest");

function log(line) {
  process.stdout.write(`${line}\r\n`);
}

if (behaviour !== "mute") log("LAB-UP 6.12");
if (behaviour === "dies-once" && starts === 1) process.exit(0);
if (behaviour === "panics") {
  log("Kernel panic - not syncing");
  process.exit(0);
}
if (behaviour === "crashes") {
  log("giantvm: vCPU 0 met a triple fault");
  log("LAB-EXIT 6");
  process.exit(0);
}
if (behaviour === "slow") {
  let pulses = 0;
  log("giantvm: the VM runs; guest clocks agree within 3 us");
  await Bun.connect({
    ...guest,
    socket: {
      open: (socket) => void socket.write("[    0.1] Linux version 6.12\r\n"),
      data: (socket, bytes) => {
        if (!bytes.toString().startsWith("\x01c")) return;
        pulses += 1;
        log(`{"exits":${1000 * pulses},"faultRemoteCount":20,"pagesReceived":30}`);
        if (pulses === 3) {
          log("LAB-EXIT 0");
          process.exit(0);
        }
      },
    },
  });
} else if (behaviour === "stuck") {
  log("giantvm: the VM runs; guest clocks agree within 3 us");
  await Bun.connect({
    ...guest,
    socket: {
      open: (socket) => void socket.write("watchdog: BUG: soft lockup - CPU#1 stuck\r\n"),
      data: () => {},
    },
  });
  await Bun.connect({
    ...addressOf("shell"),
    socket: {
      data: (socket, bytes) => {
        const [, asked, end] = bytes.toString().match(/^\{ (.*); \} .* echo "(END-\d+-)/) ?? [];
        const waits = ["7", "7", "9"].map((page) => `vCPU waits for page 0x${page}000 since 1 s`);
        const lines = asked?.endsWith(" registers") ? waits : [`asked ${asked}`];
        socket.write(`${lines.join("\r\n")}\r\n`);
        setTimeout(() => socket.write(`${end}0\r\n`), 50);
      },
    },
  });
} else if (behaviour.startsWith("threads")) {
  // Two threads of one operation each on each host; host 1's clock is 5 s ahead.
  const node = Number(args[args.indexOf("-D") + 1].match(/reset(\d+)\.log$/)[1]);
  const now = () => Number(process.hrtime.bigint()) + 5e9 * node;
  let done = false;
  const say = (socket, line) => {
    if (line === "clock") {
      socket.write(`clock ${now()}\n`);
    } else if (!done) {
      const at = now() + 1000e9 * node;
      const seen = behaviour === "threads-stale" ? 1 : 2;
      const values = node === 0 ? ["add 0", "add 1"] : ["load 2", `load ${seen}`];
      const lines = values.map((value, i) => `0 ${value} ${at + 10 * i} ${at + 10 * i + 5}\n`);
      socket.write(`${lines.join("")}done\n`);
      done = true;
    } else {
      socket.write("total pages_received 3\nended\n");
      setTimeout(() => {
        log("LAB-EXIT 0");
        process.exit(0);
      }, 100);
    }
  };
  await Bun.connect({
    ...guest,
    socket: {
      open: (socket) => void socket.write(`address 10.99.0.${node + 1}:7000\n`),
      data: (socket, bytes) => {
        for (const line of bytes.toString().split("\n").slice(0, -1)) say(socket, line);
      },
    },
  });
} else if (behaviour.startsWith("watched")) {
  await Bun.connect({
    ...guest,
    socket: {
      open: (socket) => {
        socket.write("\x1b[1;1Hone\x1b[2;1H");
        if (behaviour === "watched") socket.write("two");
      },
      data: (_socket, bytes) => {
        if (!bytes.toString().startsWith("\x01x")) return;
        log("LAB-EXIT 0");
        process.exit(0);
      },
    },
  });
} else if (behaviour === "hangs" || behaviour === "mute") {
  process.on("SIGTERM", () => {});
  setInterval(() => {}, 1000);
} else {
  await Bun.connect({
    ...guest,
    socket: {
      open: (socket) => {
        if (!behaviour.startsWith("verdict")) {
          if (behaviour === "complains") socket.write("clocksource: tsc is unstable\r\n");
          if (behaviour === "oops") socket.write("Oops: invalid opcode: 0000\r\n");
          socket.write("GUEST-UP 6.12 cpus 2\r\n\r\nguest# ");
          return;
        }
        const passes = behaviour === "verdict-pass";
        if (!passes) socket.write("check lock fail 0.00 us - lost\r\n");
        socket.write(`verdict ${passes ? "pass" : "fail"}\r\n`);
        // As giantvm lingers between the guest's last word and its own end.
        setTimeout(() => {
          log(`LAB-EXIT ${passes ? 0 : 1}`);
          process.exit(0);
        }, 100);
      },
      data: (socket, bytes) => {
        if (bytes.toString().startsWith("poweroff")) {
          log('LAB-REPORT {"node": 0, "counters": {"exits": 7}}');
          log("LAB-EXIT 0");
          process.exit(0);
        }
        if (bytes.toString().startsWith("reboot")) {
          socket.write("GUEST-UP 6.12 cpus 2\r\n\r\nguest# ");
          return;
        }
        const answer = behaviour === "lies" ? "1" : "2";
        if (bytes.toString().startsWith("dmesg")) {
          const log = readFileSync(join(import.meta.dirname, "late-timer.txt"), "utf8");
          const found = log.slice(log.indexOf("\n") + 1);
          socket.write(`${found.replaceAll("\n", "\r\n")}END-0\r\nguest# `);
          if (behaviour === "complains-late") socket.write("Oops: invalid opcode: 0000\r\n");
          return;
        }
        // The prompt comes in pieces, as a console may bring it: the rest behind a next question.
        setTimeout(() => socket.write(`${answer}\r\nEND-0\r\ngu`), 200);
        setTimeout(() => socket.write("est# "), 300);
      },
    },
  });
}
