// A library to be preloaded (LD_PRELOAD) that makes the n-th call of a kind fail, as a full disk, a lost permission or
// a lack of memory would. tests/faults/faults_test.py runs the program with it.
//
//   AMCT_FAULT=files:N         open, mkostemp, write, pwrite, fwrite, fsync, fchmod, close of written files, rename,
//   link AMCT_FAULT=memory:N:SIZE   malloc, calloc, realloc, aligned_alloc, posix_memalign of SIZE bytes or more, and
//   mmap AMCT_FAULT=threads:N       pthread_create AMCT_FAULT_COUNT=FILE      how many calls there were is written
//   there at the end; N = 0 fails none
//
// Calls are counted from main on.
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

enum class Kind { kNone, kFiles, kMemory, kThreads };

using Main = int (*)(int, char**, char**);

Kind wanted = Kind::kNone;
Main program = nullptr;
long fail_at = 0;
size_t least_bytes = 0;
std::atomic<long> calls{0};

// Libraries that do not stand a lack of memory in their own small allocations: oneDNN 2.6 uses what malloc gives
// without looking, protobuf 3.21 leaves a list broken that could not grow.
constexpr const char* kExempt[] = {"libdnnl", "libprotobuf"};
struct Range {
  const char* begin = nullptr;
  const char* end = nullptr;
} exempt[std::size(kExempt)];

int find_exempt(dl_phdr_info* object, size_t, void*) {
  for (size_t k = 0; k < std::size(kExempt); ++k) {
    if (std::strstr(object->dlpi_name, kExempt[k]) == nullptr) continue;
    const auto* base = reinterpret_cast<const char*>(object->dlpi_addr);
    exempt[k].begin = base;
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const auto& segment = object->dlpi_phdr[i];
      if (segment.p_type == PT_LOAD) exempt[k].end = base + segment.p_vaddr + segment.p_memsz;
    }
  }
  return 0;
}

bool is_exempt(const void* caller) {
  for (const Range& range : exempt) {
    if (caller >= range.begin && caller < range.end) return true;
  }
  return false;
}

void configure() {
  const char* text = std::getenv("AMCT_FAULT");
  if (text == nullptr) return;
  dl_iterate_phdr(find_exempt, nullptr);
  const char* number = std::strchr(text, ':');
  if (number == nullptr) return;
  char* end = nullptr;
  fail_at = std::strtol(number + 1, &end, 10);
  if (*end == ':') least_bytes = std::strtoul(end + 1, nullptr, 10);
  wanted = *text == 'f' ? Kind::kFiles : *text == 'm' ? Kind::kMemory : Kind::kThreads;
}

__attribute__((destructor)) void write_count() {
  const char* path = std::getenv("AMCT_FAULT_COUNT");
  wanted = Kind::kNone;
  if (path == nullptr) return;
  if (std::FILE* file = std::fopen(path, "w")) {
    std::fprintf(file, "%ld\n", calls.load());
    std::fclose(file);
  }
}

int run(int argc, char** argv, char** environment) {
  configure();
  return program(argc, argv, environment);
}

bool fails(Kind kind, int error) {
  if (kind != wanted || ++calls != fail_at) return false;
  errno = error;
  return true;
}

bool memory_fails(size_t bytes, const void* caller) {
  return bytes >= least_bytes && !is_exempt(caller) && fails(Kind::kMemory, ENOMEM);
}

template <typename F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int __libc_start_main(Main main, int argc, char** argv, Main init, void (*fini)(), void (*loader_fini)(), void* stack) {
  program = main;
  using Start = int(Main, int, char**, Main, void (*)(), void (*)(), void*);
  return real<Start>("__libc_start_main")(run, argc, argv, init, fini, loader_fini, stack);
}

void* malloc(size_t bytes) { return memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) {
  return memory_fails(count * bytes, __builtin_return_address(0)) ? nullptr : __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) {
  return memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_realloc(old, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  return memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  return memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_memalign(alignment, bytes);
}
int posix_memalign(void** result, size_t alignment, size_t bytes) {
  if (memory_fails(bytes, __builtin_return_address(0))) return ENOMEM;
  *result = __libc_memalign(alignment, bytes);
  return *result == nullptr ? ENOMEM : 0;
}
void* mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  if (memory_fails(bytes, __builtin_return_address(0))) return MAP_FAILED;
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}
void* mmap64(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return mmap(address, bytes, protection, flags, fd, offset);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return fails(Kind::kFiles, EACCES) ? -1 : static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open(path, flags, mode);
}
int mkostemp(char* name, int flags) {
  return fails(Kind::kFiles, ENOSPC) ? -1 : real<int(char*, int)>("mkostemp")(name, flags);
}
ssize_t write(int fd, const void* data, size_t bytes) {
  return fails(Kind::kFiles, ENOSPC) ? -1 : syscall(SYS_write, fd, data, bytes);
}
ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  return fails(Kind::kFiles, ENOSPC) ? -1 : syscall(SYS_pwrite64, fd, data, bytes, offset);
}
ssize_t read(int fd, void* data, size_t bytes) {
  return fails(Kind::kFiles, EIO) ? -1 : syscall(SYS_read, fd, data, bytes);
}
ssize_t pread(int fd, void* data, size_t bytes, off_t offset) {
  return fails(Kind::kFiles, EIO) ? -1 : syscall(SYS_pread64, fd, data, bytes, offset);
}
size_t fwrite(const void* data, size_t size, size_t count, std::FILE* file) {
  return fails(Kind::kFiles, ENOSPC)
             ? 0
             : real<size_t(const void*, size_t, size_t, std::FILE*)>("fwrite")(data, size, count, file);
}
int fflush(std::FILE* file) { return fails(Kind::kFiles, ENOSPC) ? EOF : real<int(std::FILE*)>("fflush")(file); }
int fsync(int fd) { return fails(Kind::kFiles, EIO) ? -1 : static_cast<int>(syscall(SYS_fsync, fd)); }
int fchmod(int fd, mode_t mode) {
  return fails(Kind::kFiles, EPERM) ? -1 : static_cast<int>(syscall(SYS_fchmod, fd, mode));
}
int close(int fd) {
  const auto result = static_cast<int>(syscall(SYS_close, fd));  // a failing close closes all the same
  return fails(Kind::kFiles, EIO) ? -1 : result;
}
int rename(const char* from, const char* to) {
  return fails(Kind::kFiles, EACCES) ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}
int link(const char* from, const char* to) {
  return fails(Kind::kFiles, EPERM) ? -1 : static_cast<int>(syscall(SYS_link, from, to));
}
int mkdir(const char* path, mode_t mode) {
  return fails(Kind::kFiles, ENOSPC) ? -1 : static_cast<int>(syscall(SYS_mkdir, path, mode));
}
int fstat(int fd, struct stat* status) {
  return fails(Kind::kFiles, EIO) ? -1 : real<int(int, struct stat*)>("fstat")(fd, status);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  if (fails(Kind::kThreads, EAGAIN)) return EAGAIN;
  return real<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create")(thread, attributes,
                                                                                                 run, argument);
}

}  // extern "C"

// The library's own call malloc from one place, which would hide who asks.
void* operator new(size_t bytes) {
  void* result = memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_malloc(bytes);
  if (result == nullptr) throw std::bad_alloc();
  return result;
}
void* operator new[](size_t bytes) {
  void* result = memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_malloc(bytes);
  if (result == nullptr) throw std::bad_alloc();
  return result;
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_malloc(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return memory_fails(bytes, __builtin_return_address(0)) ? nullptr : __libc_malloc(bytes);
}
