// The kernels that quantized networks spend their time in: layers of ResNet-50 and MobileNetV2 with requantization, and
// arrays of quantized values. Items of layers are multiply-adds, of arrays elements.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/simd/byte_dot.h"
#include "kernels/simd/int_conv.h"
#include "kernels/simd/quantize_linear.h"

namespace amct {
namespace {

template <typename T>
std::vector<T> draw(int64_t count) {
  std::mt19937 random(1);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& v : values) v = static_cast<T>(random());
  return values;
}

IntConvShape square(int64_t groups, int64_t in, int64_t out, int64_t extent, int64_t kernel, int64_t stride) {
  const int64_t result = (extent + stride - 1) / stride;
  return {.groups = groups,
          .in_channels = in,
          .out_channels = out,
          .input = {1, extent, extent},
          .output = {1, result, result},
          .kernel = {1, kernel, kernel},
          .strides = {1, stride, stride},
          .pads = {0, kernel / 2, kernel / 2},
          .channels_last = true};
}

// Arguments: groups, channels in and out, extent, kernel, stride, kernel number (past the last: 16-bit products).
void quantized_convolution(benchmark::State& state) {
  const auto at = [&](int i) { return state.range(i); };
  const IntConvShape shape = square(at(0), at(1), at(2), at(3), at(4), at(5));
  const int64_t positions = IntConvShape::product(shape.kernel);
  const int64_t pixels = IntConvShape::product(shape.output);
  const auto x = draw<uint8_t>(IntConvShape::product(shape.input) * shape.in_channels);
  const auto w = draw<int8_t>(shape.out_channels * shape.in_group() * positions);
  const std::vector<int32_t> bias(static_cast<size_t>(shape.out_channels), 7);
  const IntConv conv(shape, w.data(), nullptr,
                     {.bytes_only = true,
                      .dots = byte_dots().subspan(std::min(static_cast<size_t>(at(6)), byte_dots().size())),
                      .depthwise_quads = at(6) == 0});
  const IntEpilogue epilogue(
      {{.kind = IntStage::Kind::kScale, .scales = std::vector<float>(static_cast<size_t>(shape.out_channels), 1e-3f)},
       {.kind = IntStage::Kind::kQuantize, .low = 0, .high = 255, .zero = 3}},
      shape.out_channels, DType::kUInt8);
  std::vector<uint8_t> y(static_cast<size_t>(pixels * shape.out_channels));
  std::vector<std::byte> scratch(conv.scratch_bytes());
  for (auto _ : state) {
    conv.run({x.data(), IntInput::Type::kUInt8, 3}, bias.data(), epilogue, {y.data(), {}}, 1, scratch.data());
  }
  state.SetItemsProcessed(state.iterations() * pixels * shape.out_channels * shape.in_group() * positions);
  state.SetLabel(conv.implementation(IntInput::Type::kUInt8));
}
BENCHMARK(quantized_convolution)
    ->ArgNames({"groups", "in", "out", "extent", "kernel", "stride", "instruction"})
    ->ArgsProduct({{1}, {64}, {256}, {56}, {1}, {1}, {0, 9}})
    ->ArgsProduct({{1}, {64}, {64}, {56}, {3}, {1}, {0, 9}})
    ->ArgsProduct({{1}, {512}, {512}, {7}, {3}, {1}, {0, 9}})
    ->ArgsProduct({{1}, {3}, {64}, {224}, {7}, {2}, {0, 9}})
    ->ArgsProduct({{1}, {16}, {96}, {112}, {1}, {1}, {0, 9}})
    ->ArgsProduct({{144}, {144}, {144}, {56}, {3}, {1}, {0}})
    ->ArgsProduct({{576}, {576}, {576}, {14}, {3}, {1}, {0}});

void quantize_array(benchmark::State& state) {
  std::vector<float> x(static_cast<size_t>(state.range(0)), 1.5f);
  std::vector<uint8_t> y(x.size());
  for (auto _ : state) quantize_linear(x.data(), y.data(), x.size(), {.scale = 0.1f, .zero = 3, .low = 0, .high = 255});
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(quantize_array)->Arg(1 << 14)->Arg(1 << 22);

void dequantize_array(benchmark::State& state) {
  const auto x = draw<uint8_t>(state.range(0));
  std::vector<float> y(x.size());
  for (auto _ : state) dequantize_linear(x.data(), y.data(), x.size(), {.scale = 0.1f, .zero = 3});
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(dequantize_array)->Arg(1 << 14)->Arg(1 << 22);

void add_quantized_arrays(benchmark::State& state) {
  const auto x = draw<uint8_t>(state.range(0));
  std::vector<uint8_t> y(x.size());
  for (auto _ : state) {
    add_quantized({x.data(), false, 0.1f, 3}, {x.data(), false, 0.2f, 4}, y.data(), y.size(),
                  {.scale = 0.1f, .zero = 3, .low = 0, .high = 255});
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(add_quantized_arrays)->Arg(1 << 14)->Arg(1 << 22);

}  // namespace
}  // namespace amct
