// A small stand-in for libFuzzer, so that every compiler builds the fuzz targets and every test run tries them.
//
//   <target>_replay FOLDER [MUTANTS]     every file of the folder, then MUTANTS changed ones (default 5000)
//
// The mutants come from a fixed seed, through the target's own mutator where it has one: the same inputs every time.
// A finding ends the program as it would end libFuzzer's: abort, an exception, a report of a sanitizer. To look for new
// ones, run scripts/fuzz.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                                                unsigned int seed);

namespace {

constexpr size_t kLongestInput = 8192;
std::mt19937 random_number(1);  // NOLINT: as libFuzzer's, one for the process

size_t below(size_t count) { return random_number() % count; }

std::vector<uint8_t> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

// One change: a byte, a bit, a run of bytes that goes, comes twice or is cut off at the end.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  if (size == 0) {
    if (max_size == 0) return 0;
    data[0] = static_cast<uint8_t>(below(256));
    return 1;
  }
  const size_t at = below(size);
  const size_t run = 1 + below(std::min<size_t>(size - at, 16));
  switch (below(5)) {
    case 0: data[at] = static_cast<uint8_t>(below(256)); return size;
    case 1: data[at] ^= static_cast<uint8_t>(1u << below(8)); return size;
    case 2: std::copy(data + at + run, data + size, data + at); return size - run;
    case 3:
      if (size + run > max_size) return size;
      std::copy_backward(data + at, data + size, data + size + run);
      return size + run;
    default: return below(8) == 0 ? at : size;
  }
}

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [MUTANTS]\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) {
    std::fprintf(stderr, "%s holds no inputs\n", argv[1]);
    return 1;
  }
  for (const auto& path : paths) {
    const std::vector<uint8_t> input = read_file(path);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  const int mutants = argc > 2 ? std::atoi(argv[2]) : 5000;
  for (int i = 0; i < mutants; ++i) {
    std::vector<uint8_t> input = read_file(paths[below(paths.size())]);
    size_t size = std::min(input.size(), kLongestInput);
    input.resize(kLongestInput);
    for (size_t changes = 1 + below(4); changes > 0; --changes) {
      size = LLVMFuzzerCustomMutator != nullptr
                 ? LLVMFuzzerCustomMutator(input.data(), size, kLongestInput, random_number())
                 : LLVMFuzzerMutate(input.data(), size, kLongestInput);
    }
    input.resize(size);  // of its exact length, so that reading beyond it is seen
    input.shrink_to_fit();
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu inputs, %d mutants\n", paths.size(), mutants);
}
