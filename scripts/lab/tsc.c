/* The processor's time stamp counter; compiled by bun:ffi when tsc.ts asks for it. */
unsigned long long tsc(void) {
  unsigned int low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return ((unsigned long long)high << 32) | low;
}
