#include "cli/heap.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace amct {

#ifdef __GLIBC__
namespace {

constexpr int kLargeBytes = 4 << 20;  // from here on a block has pages of its own
constexpr int kReserve = 256 << 20;   // addresses that the heap takes at once; memory only where they are written
constexpr int kGrowth = 4 << 20;      // what it grows by afterwards
constexpr int kKept = kReserve + (64 << 20);  // free memory at its end that does not go back

// Takes the reserve and asks for large pages there. A network's many small weights and buffers are written for the
// first time in all places; with pages of 4 kB most of the time of a short calibration's start is spent in page faults.
void reserve_in_large_pages() {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kLargePage = 2 << 20;
  const auto begin = (reinterpret_cast<uintptr_t>(sbrk(0)) + kLargePage - 1) / kLargePage * kLargePage;
  mallopt(M_TOP_PAD, kReserve);
  void* volatile grown = std::malloc(kLargeBytes / 2);  // more than the heap starts with
  std::free(grown);
  mallopt(M_TOP_PAD, kGrowth);
  const auto end = reinterpret_cast<uintptr_t>(sbrk(0));
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // or it stays slow
#endif
}

}  // namespace

// One heap for all threads: buffers live as long as their worker and come in few sizes, and a heap per thread would
// keep up to ten megabytes each that nobody uses. Large weights lie outside of it, so that their memory goes back as
// soon as they do (left alone, the library moves this limit up to 32 MB); what small things free is kept for others.
void set_up_heap() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  mallopt(M_TRIM_THRESHOLD, kKept);
  reserve_in_large_pages();
}
#else
void set_up_heap() {}
#endif

}  // namespace amct
