/* The processor's time stamp counter; compiled and loaded by tsc.ts. */
unsigned long long tsc(void) {
  unsigned int low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return ((unsigned long long)high << 32) | low;
}
