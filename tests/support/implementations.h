// What oneDNN's names of implementations say: "ref", "gemm:ref" and "simple" are loops in C++; "jit", "brg…" and
// "brdgmm" (products over batches of tiles) are generated code. The instruction set is that of the environment.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

namespace amct::testing {

inline std::string isa() {
  const char* value = std::getenv("DNNL_MAX_CPU_ISA");
  return value != nullptr ? value : "ALL";
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

inline bool is_generated(std::string_view implementation) {
  return !contains(implementation, "ref") &&
         (contains(implementation, "jit") || contains(implementation, "brg") || contains(implementation, "brdgmm"));
}

// A convolution or pooling by way of a product of matrices, which copies every window.
inline bool is_by_product(std::string_view implementation) { return contains(implementation, "gemm"); }

}  // namespace amct::testing
