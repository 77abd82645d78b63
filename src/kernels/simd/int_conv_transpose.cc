#include "kernels/simd/int_conv_transpose.h"

#include <omp.h>

#include <algorithm>

#include "base/wrapping.h"
#include "kernels/simd/int_image.h"

namespace amct {

using Spatial = IntConvShape::Spatial;

template <typename T>
IntConvTranspose::IntConvTranspose(const IntConvShape& shape, const T* weights, int64_t stride_out, int64_t stride_in)
    : shape_(shape) {
  const int64_t positions = IntConvShape::product(shape.kernel);
  const int64_t depth = shape.in_group();
  std::vector<int16_t> ordered(shape.out_group() * positions * depth);
  for (int64_t g = 0; g < shape.groups; ++g) {
    const T* group = weights + g * shape.in_group() * shape.out_group() * positions;
    for (int64_t o = 0; o < shape.out_group(); ++o) {
      for (int64_t s = 0; s < positions; ++s) {
        for (int64_t i = 0; i < depth; ++i) {
          ordered[(o * positions + s) * depth + i] = group[o * stride_out + i * stride_in + s];
        }
      }
    }
    groups_.push_back(PackedWeights::pack(ordered.data(), shape.out_group() * positions, depth, depth, 1));
  }
}

// Made before the threads start, because none may fail for want of memory.
template <typename Acc>
struct IntConvTranspose::Workspace {
  explicit Workspace(const IntConvTranspose& conv)
      : image(static_cast<size_t>(IntConvShape::product(conv.shape_.input) * conv.shape_.in_channels)),
        row(static_cast<size_t>(conv.groups_[0].padded_depth())),
        narrow(static_cast<size_t>(conv.groups_[0].padded_rows())),
        wide(narrow.size()),
        sums(static_cast<size_t>(IntConvShape::product(conv.shape_.output) * conv.shape_.out_channels)) {}
  std::vector<int16_t> image, row;
  std::vector<int32_t> narrow;
  std::vector<int64_t> wide;
  std::vector<Acc> sums;  // (pixels, channels)
};

// Multiplies every input pixel with all weights and adds the products where they belong in the sums.
template <typename Acc>
void IntConvTranspose::scatter_group(Workspace<Acc>& work, int64_t group, int32_t zero) const {
  const PackedWeights& w = groups_[group];
  const int64_t lda = w.padded_depth();
  const int64_t ldc = w.padded_rows();
  const int64_t positions = IntConvShape::product(shape_.kernel);
  const Spatial& in = shape_.input;
  const Spatial& out = shape_.output;
  auto& [image, row, narrow, wide, sums] = work;
  for (int64_t pixel = 0; pixel < IntConvShape::product(in); ++pixel) {
    std::copy_n(image.data() + pixel * shape_.in_channels + group * shape_.in_group(), shape_.in_group(), row.data());
    if constexpr (sizeof(Acc) == 8) {
      int_gemm_wide(row.data(), lda, 1, w, wide.data(), ldc, narrow.data());
    } else {
      int_gemm(row.data(), lda, 1, w, narrow.data(), ldc);
    }
    const Spatial at = {pixel / (in[1] * in[2]), pixel / in[2] % in[1], pixel % in[2]};
    for (int64_t s = 0; s < positions; ++s) {
      const Spatial k = {s / (shape_.kernel[1] * shape_.kernel[2]), s / shape_.kernel[2] % shape_.kernel[1],
                         s % shape_.kernel[2]};
      Spatial to;
      bool inside = true;
      for (size_t i = 0; i < 3; ++i) {
        to[i] = at[i] * shape_.strides[i] + k[i] * shape_.dilations[i] - shape_.pads[i];
        inside = inside && to[i] >= 0 && to[i] < out[i];
      }
      if (!inside) continue;
      Acc* sum =
          sums.data() + ((to[0] * out[1] + to[1]) * out[2] + to[2]) * shape_.out_channels + group * shape_.out_group();
      for (int64_t o = 0; o < shape_.out_group(); ++o) {
        const int64_t n = o * positions + s;
        const int64_t product = sizeof(Acc) == 8 ? wide[n] : narrow[n];
        sum[o] = wrapping_sub(sum[o], zero * w.row_sums()[n] - product);
      }
    }
  }
}

template <typename Acc>
void IntConvTranspose::run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const {
  IntConvShape plain = shape_;  // the input as it is: pads belong to the output
  plain.pads = {0, 0, 0};
  const int64_t pixels = IntConvShape::product(shape_.output);
  threads = static_cast<int>(std::clamp<int64_t>(shape_.batch, 1, threads));
  std::vector<Workspace<Acc>> workspaces(static_cast<size_t>(threads), Workspace<Acc>(*this));
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t n = 0; n < shape_.batch; ++n) {
    Workspace<Acc>& work = workspaces[static_cast<size_t>(omp_get_thread_num())];
    const int32_t left = fill_image(plain, shape_.input, x, n, work.image.data());
    std::fill(work.sums.begin(), work.sums.end(), Acc{0});
    for (int64_t g = 0; g < shape_.groups; ++g) scatter_group(work, g, left);
    store_rows(shape_, work.sums.data(), n, 0, pixels, bias, y);
  }
}

template IntConvTranspose::IntConvTranspose(const IntConvShape&, const int8_t*, int64_t, int64_t);
template void IntConvTranspose::run(const IntInput&, const int32_t*, int32_t*, int) const;
template void IntConvTranspose::run(const IntInput&, const int32_t*, int64_t*, int) const;

}  // namespace amct
