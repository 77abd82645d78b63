// Which implementation oneDNN picks for the layers of well-known networks, channels-last. A silent fall to a reference
// kernel costs a factor of ten, so that every layer must get a generated kernel on every instruction set; what does not
// is listed with its reason. The instruction set is that of the environment (DNNL_MAX_CPU_ISA): the build runs this
// file once for each.
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>

#include "kernels/dnnl/convolution.h"
#include "kernels/dnnl/matmul.h"
#include "kernels/dnnl/pooling.h"
#include "support/implementations.h"

namespace amct::dnn {
namespace {

using testing::is_by_product;
using testing::is_generated;
using testing::isa;

struct ConvCase {
  std::string name;
  int64_t in, out, groups;
  Dims image, kernel;
  int64_t stride = 1, dilation = 1;
  bool transposed = false;
};

const std::vector<ConvCase> kConvolutions = {
    {"mobilenet_v1_first", 3, 8, 1, {224, 224}, {3, 3}, 2},
    {"mobilenet_v1_depthwise", 8, 8, 8, {112, 112}, {3, 3}},
    {"mobilenet_v1_depthwise_stride", 16, 16, 16, {112, 112}, {3, 3}, 2},
    {"mobilenet_v1_pointwise", 8, 16, 1, {112, 112}, {1, 1}},
    {"mobilenet_v2_first", 3, 32, 1, {224, 224}, {3, 3}, 2},
    {"mobilenet_v2_expand", 24, 144, 1, {56, 56}, {1, 1}},
    {"mobilenet_v2_depthwise", 144, 144, 144, {56, 56}, {3, 3}},
    {"mobilenet_v2_depthwise_stride", 144, 144, 144, {56, 56}, {3, 3}, 2},
    {"mobilenet_v2_project", 144, 24, 1, {56, 56}, {1, 1}},
    {"mobilenet_v2_last", 320, 1280, 1, {7, 7}, {1, 1}},
    {"resnet8_first", 3, 16, 1, {32, 32}, {3, 3}},
    {"resnet8_block", 16, 16, 1, {32, 32}, {3, 3}},
    {"resnet8_stride", 16, 32, 1, {32, 32}, {3, 3}, 2},
    {"resnet8_shortcut", 16, 32, 1, {32, 32}, {1, 1}, 2},
    {"resnet50_first", 3, 64, 1, {224, 224}, {7, 7}, 2},
    {"ultraface_dilated", 16, 16, 1, {30, 40}, {3, 3}, 1, 3},
    {"ultraface_dilated_5", 12, 12, 1, {30, 40}, {3, 3}, 1, 5},
    {"ultraface_head", 64, 6, 1, {30, 40}, {3, 3}},
    {"nanodet_depthwise_5x5", 96, 96, 96, {26, 26}, {5, 5}},
    {"nanodet_pointwise_58", 58, 58, 1, {52, 52}, {1, 1}},
    {"nanodet_depthwise_58", 58, 58, 58, {52, 52}, {3, 3}},
    {"mnist_first", 1, 8, 1, {28, 28}, {5, 5}},
    {"mnist_second", 8, 16, 1, {14, 14}, {5, 5}},
    {"odd_channels", 7, 11, 1, {13, 17}, {3, 3}},
    {"grouped", 32, 48, 2, {14, 14}, {3, 3}},
    {"grouped_odd", 18, 30, 3, {14, 14}, {3, 3}},
    {"depth_multiplier", 24, 48, 24, {28, 28}, {3, 3}},
    {"audio", 16, 24, 1, {400}, {9}, 2},
    {"video", 3, 16, 1, {8, 28, 28}, {3, 3, 3}},
    {"video_block", 16, 16, 1, {8, 14, 14}, {3, 3, 3}},
    {"upsample", 32, 16, 1, {14, 14}, {4, 4}, 2, 1, true},
    {"upsample_odd", 21, 13, 1, {14, 14}, {3, 3}, 2, 1, true},
};

// Case -> what it may get on which instruction set ("" = every one), and why that is accepted.
struct Exception {
  std::string name, isa, implementation, reason;
};
#include "kernels/dnnl_exceptions.inc"

const Exception* exception_for(const std::string& name) {
  for (const Exception& exception : kExceptions) {
    if (exception.name == name && (exception.isa.empty() || exception.isa == isa())) return &exception;
  }
  return nullptr;
}

void check(const std::string& name, const std::unique_ptr<Kernel>& kernel) {
  const std::string implementation = kernel != nullptr ? kernel->implementation() : "none";
  const Exception* exception = exception_for(name);
  const bool is_accepted = exception != nullptr && implementation == exception->implementation;
  EXPECT_TRUE((is_generated(implementation) && !is_by_product(implementation)) || is_accepted)
      << name << " on " << isa() << " gets " << implementation;
}

ConvolutionSpec spec_of(const ConvCase& c) {
  ConvolutionSpec spec;
  spec.transposed = c.transposed;
  spec.src = {{1, c.in}, true};
  spec.dst = {{1, c.out}, true};
  spec.weight_dims = {c.out, c.in / c.groups};
  spec.groups = c.groups;
  for (size_t i = 0; i < c.kernel.size(); ++i) {
    const int64_t effective = (c.kernel[i] - 1) * c.dilation + 1;
    const int64_t begin = (effective - 1) / 2, end = effective - 1 - begin;
    const int64_t large = c.image[i] * (c.transposed ? c.stride : 1);
    const int64_t small = (large + begin + end - effective) / c.stride + 1;
    spec.src.dims.push_back(c.transposed ? small : large);
    spec.dst.dims.push_back(c.transposed ? large : small);
    spec.weight_dims.push_back(c.kernel[i]);
    spec.window.kernel.push_back(c.kernel[i]);
    spec.window.strides.push_back(c.stride);
    spec.window.dilations.push_back(c.dilation);
    spec.window.pads_begin.push_back(begin);
    spec.window.pads_end.push_back(end);
  }
  spec.has_bias = true;
  return spec;
}

TEST(DnnlImplementations, ConvolutionsAreGenerated) {
  for (const ConvCase& c : kConvolutions) check(c.name, make_convolution(spec_of(c)));
}

TEST(DnnlImplementations, ConvolutionsWithEpiloguesAreGenerated) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::map<std::string, std::vector<PostOp>> chains = {
      {"relu", {{PostOp::Kind::kClip, 0, infinity}}},
      {"relu6", {{PostOp::Kind::kClip, 0, 6}}},
      {"swish", {{PostOp::Kind::kSwish, 1}}},
      {"sum", {{PostOp::Kind::kSum}}},
      {"sum_relu", {{PostOp::Kind::kSum}, {PostOp::Kind::kClip, 0, infinity}}},
      {"relu_add", {{PostOp::Kind::kClip, 0, infinity}, {PostOp::Kind::kAdd}}},
  };
  for (const ConvCase& c : kConvolutions) {
    if (exception_for(c.name) != nullptr) continue;
    for (const auto& [name, post_ops] : chains) {
      ConvolutionSpec spec = spec_of(c);
      spec.post_ops = post_ops;
      check(c.name + "+" + name, make_convolution(spec));
    }
  }
}

TEST(DnnlImplementations, PoolsAreGenerated) {
  for (const auto kind :
       {PoolingSpec::Kind::kMax, PoolingSpec::Kind::kAverageInside, PoolingSpec::Kind::kAveragePadded}) {
    for (const int64_t channels : {3, 16, 64, 116}) {
      const std::string name = "pool_" + std::to_string(static_cast<int>(kind)) + "_" + std::to_string(channels);
      const PoolingSpec spec{.kind = kind,
                             .src = {{1, channels, 57, 57}, true},
                             .dst = {{1, channels, 29, 29}, true},
                             .window = {{3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}}};
      check(name, make_pooling(spec));
      const PoolingSpec global{.kind = kind,
                               .src = {{1, channels, 7, 7}, true},
                               .dst = {{1, channels, 1, 1}, true},
                               .window = {{7, 7}, {1, 1}, {1, 1}, {0, 0}, {0, 0}}};
      check(name + "_global", make_pooling(global));
    }
  }
}

TEST(DnnlImplementations, MatrixProductsAreNotReference) {
  for (const Dims& mnk :
       std::vector<Dims>{{1, 10, 64}, {1, 1001, 256}, {32, 1000, 1280}, {197, 192, 768}, {7, 13, 5}}) {
    for (const bool constant : {false, true}) {
      MatmulSpec spec{.a_dims = {mnk[0], mnk[2]}, .b_dims = {mnk[2], mnk[1]}, .dst_dims = {mnk[0], mnk[1]}};
      spec.bias_dims = {1, mnk[1]};
      if (constant) spec.b = Tensor::allocate(DType::kFloat32, spec.b_dims);
      EXPECT_NE(make_matmul(spec), nullptr) << mnk[0] << " x " << mnk[1] << " x " << mnk[2];
    }
  }
}

}  // namespace
}  // namespace amct::dnn
