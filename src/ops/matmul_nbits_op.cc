// MatMulNBits of com.microsoft: a product with a weight of 2, 4 or 8 bits whose rows are quantized in blocks.
//
//   y (…, N) = a (…, K) w' + bias,  w(n, k) = (q(n, k) - zero(n, k / block)) scale(n, k / block)
//
// Rows of q are blocks of whole bytes, lowest bits first; zero points are packed like them, in rows of whole bytes, or
// are floats; without them zero is 2^(bits - 1). The weight stays packed: the plain kernel unpacks a row at a time; the
// compiled step for few rows of a unpacks it in registers (kernels/simd/packed_product.h), that for many a panel of
// rows for a product by oneDNN.
#include <fmt/core.h>
#include <omp.h>

#include <algorithm>

#include "kernels/dnnl/matmul.h"
#include "kernels/reference/reference.h"
#include "kernels/simd/packed_product.h"
#include "ops/composition.h"
#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

enum Port : size_t { kA, kWeight, kScales, kZeros, kGroups, kBias };

struct PackedRule {
  int64_t k, n, bits, block;
  int64_t blocks() const { return (k + block - 1) / block; }
  int64_t block_bytes() const { return block * bits / 8; }
  int64_t zero_row_bytes() const { return (blocks() * bits + 7) / 8; }
};

PackedRule rule_of(const Node& node) {
  const PackedRule rule{attr_int(node, "K"), attr_int(node, "N"), attr_int(node, "bits"), attr_int(node, "block_size")};
  const auto fail = [&](std::string message) {
    throw Error(ErrorCode::kInput, std::move(message), {.node = node.name, .op = node.op});
  };
  constexpr int64_t kLargest = int64_t{1} << 31;
  if (rule.bits != 2 && rule.bits != 4 && rule.bits != 8)
    fail(fmt::format("weights of {} bits; 2, 4 and 8 are known", rule.bits));
  if (rule.block < 16 || rule.block > kLargest || (rule.block & (rule.block - 1)) != 0) {
    fail(fmt::format("blocks of {}; a power of 2 from 16 on is needed", rule.block));
  }
  if (rule.k < 1 || rule.n < 1 || rule.k > kLargest || rule.n > kLargest)
    fail(fmt::format("its weight is {} x {}", rule.n, rule.k));
  return rule;
}

void expect_count(const InferContext& c, size_t port, int64_t expected) {
  const auto count = c.has(port) ? c.shape(port).element_count() : std::nullopt;
  if (count && *count != expected) {
    c.fail(fmt::format("input {} has shape {}; {} elements are needed", port, c.shape(port).to_string(), expected));
  }
}

void infer(InferContext& c) {
  const PackedRule rule = rule_of(c.node());
  expect_type(c, kA, is_float_type);
  expect_type(c, kScales, is_float_type);
  if (c.has(kGroups)) c.fail("an order of its groups (g_idx) is not known");
  if (c.dtype(kWeight) != DType::kUndefined && c.dtype(kWeight) != DType::kUInt8)
    c.fail("its packed weight is no uint8");
  expect_count(c, kWeight, rule.n * rule.blocks() * rule.block_bytes());
  expect_count(c, kScales, rule.n * rule.blocks());
  if (c.has(kZeros) && c.dtype(kZeros) == DType::kUInt8) {
    expect_count(c, kZeros, rule.n * rule.zero_row_bytes());
  } else if (c.has(kZeros)) {
    expect_type(c, kZeros, is_float_type);
    expect_count(c, kZeros, rule.n * rule.blocks());
  }
  expect_type(c, kBias, is_float_type);
  expect_count(c, kBias, rule.n);
  const Shape& a = c.shape(kA);
  if (!a.ranked()) return c.set_output(0, c.dtype(kA), Shape());
  const bool fits = a.rank() > 0 && (!a[a.rank() - 1].is_fixed() || a[a.rank() - 1].extent() == rule.k);
  if (!fits) c.fail(fmt::format("its input has shape {}; {} columns are needed", a.to_string(), rule.k));
  Shape y = a;
  y[y.rank() - 1] = rule.n;
  c.set_output(0, c.dtype(kA), std::move(y));
}

// What is needed to unpack rows; pointers into the inputs.
struct PackedRows {
  PackedRule rule;
  const uint8_t* bytes;
  std::vector<float> scales, zeros;  // of every block

  PackedRows(const Node& node, const TensorView& weight, const TensorView& scale, const TensorView& zero)
      : rule(rule_of(node)), bytes(weight.as<uint8_t>()) {
    const auto count = static_cast<size_t>(rule.n * rule.blocks());
    const auto numbers = [](const TensorView& view) {
      std::vector<float> result;
      visit_floats(view.dtype, [&]<typename T>(Tag<T>) {
        for (int64_t i = 0; i < view.size(); ++i) result.push_back(static_cast<float>(view.as<T>()[i]));
      });
      return result;
    };
    scales = numbers(scale);
    if (!zero) {
      zeros.assign(count, static_cast<float>(int64_t{1} << (rule.bits - 1)));
    } else if (zero.dtype != DType::kUInt8) {
      zeros = numbers(zero);
    } else {
      for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) {
        const uint8_t* row = zero.as<uint8_t>() + i / rule.blocks() * rule.zero_row_bytes();
        zeros.push_back(static_cast<float>(element(row, i % rule.blocks())));
      }
    }
  }

  uint8_t element(const uint8_t* packed, int64_t index) const {
    const int64_t per_byte = 8 / rule.bits;
    const auto shift = static_cast<unsigned>(index % per_byte * rule.bits);
    return static_cast<uint8_t>(packed[index / per_byte] >> shift & ((1u << rule.bits) - 1));
  }

  void unpack(int64_t n, float* to) const {
    for (int64_t block = 0; block < rule.blocks(); ++block) {
      const int64_t at = n * rule.blocks() + block, count = std::min(rule.block, rule.k - block * rule.block);
      const uint8_t* packed = bytes + at * rule.block_bytes();
      const float scale = scales[static_cast<size_t>(at)], zero = zeros[static_cast<size_t>(at)];
      if (rule.bits == 8) unpack_block<8>(packed, count, scale, zero, to);
      if (rule.bits == 4) unpack_block<4>(packed, count, scale, zero, to);
      if (rule.bits == 2) unpack_block<2>(packed, count, scale, zero, to);
      to += count;
    }
  }

 private:
  // Whole bytes in a loop that a compiler turns into vectors, then what the last byte holds of the row.
  template <int64_t kBits>
  void unpack_block(const uint8_t* packed, int64_t count, float scale, float zero, float* to) const {
    constexpr int64_t kPerByte = 8 / kBits;
    const int64_t whole = count / kPerByte;
    for (int64_t i = 0; i < whole; ++i) {
      for (int64_t part = 0; part < kPerByte; ++part) {
        const int32_t value = packed[i] >> (part * kBits) & ((1 << kBits) - 1);
        to[i * kPerByte + part] = (static_cast<float>(value) - zero) * scale;
      }
    }
    for (int64_t i = whole * kPerByte; i < count; ++i) {
      to[i] = (static_cast<float>(element(packed, i)) - zero) * scale;
    }
  }
};

void run(RunContext& c) {
  const auto optional = [&](size_t port) { return c.has(port) ? c.input(port) : TensorView(); };
  const PackedRows rows(c.node(), c.input(kWeight), c.input(kScales), optional(kZeros));
  const int64_t k = rows.rule.k, n = rows.rule.n, m = c.input(kA).size() / k;
  const std::vector<double> a = reference::widen(c.input(kA));
  const std::vector<double> bias = c.has(kBias) ? reference::widen(c.input(kBias)) : std::vector<double>();
  std::vector<double> y(static_cast<size_t>(m * n));
#pragma omp parallel for num_threads(c.threads())
  for (int64_t j = 0; j < n; ++j) {
    std::vector<float> row(static_cast<size_t>(k));
    rows.unpack(j, row.data());
    for (int64_t i = 0; i < m; ++i) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(j)];
      for (int64_t l = 0; l < k; ++l)
        sum += a[static_cast<size_t>(i * k + l)] * static_cast<double>(row[static_cast<size_t>(l)]);
      y[static_cast<size_t>(i * n + j)] = sum;
    }
  }
  reference::narrow(y, c.output(0));
}

// Panels of the weight are unpacked next to the worker's product; constants only.
class PanelStep : public Step {
 public:
  static std::unique_ptr<Step> make(const LowerContext& c) {
    const auto constant = [&](size_t port) {
      return c.has(port) && c.input(port).constant != nullptr ? *c.input(port).constant : Tensor();
    };
    auto step = std::make_unique<PanelStep>(c, constant(kWeight), constant(kScales), constant(kZeros));
    if (c.has(kBias)) step->bias_ = constant(kBias).cast(DType::kFloat32);
    return step->create() ? std::move(step) : nullptr;
  }

  PanelStep(const LowerContext& c, Tensor weight, const Tensor& scales, const Tensor& zeros)
      : weight_(std::move(weight)),
        rows_(c.node(), weight_.view(), scales.view(), zeros ? zeros.view() : TensorView()),
        m_(element_count(c.input(kA).dims) / rows_.rule.k),
        threads_(c.threads()) {}

  size_t scratch_bytes() const override { return static_cast<size_t>(threads_) * worker_bytes(); }
  std::string implementation() const override { return products_[0]->implementation(); }

  std::function<void()> bind(const StepIo& io) const override {
    std::vector<Worker> workers;
    for (int i = 0; i < threads_; ++i) {
      std::byte* base = io.scratch + static_cast<size_t>(i) * worker_bytes();
      auto* panel = reinterpret_cast<float*>(base + kernel_bytes_);
      float* sums = panel + padded(kPanel * rows_.rule.k);
      workers.push_back({panel, sums, {}});
      const void* operands[] = {io.inputs[kA].data, panel, nullptr};
      for (const auto& product : products_) workers.back().products.push_back(product->bind(operands, sums, base));
    }
    return [this, workers = std::move(workers), y = io.outputs[0].as<float>()] { run(workers, y); };
  }

 private:
  static constexpr int64_t kPanel = 64;
  struct Worker {
    float *panel, *sums;
    std::vector<std::function<void()>> products;  // of whole panels, of the last one
  };
  static int64_t padded(int64_t floats) { return (floats + 15) / 16 * 16; }
  size_t worker_bytes() const {
    return kernel_bytes_ + static_cast<size_t>(padded(kPanel * rows_.rule.k) + padded(kPanel * m_)) * sizeof(float);
  }

  // False where the library has no fast product.
  bool create() {
    const int64_t n = rows_.rule.n, k = rows_.rule.k, last = n % kPanel == 0 ? kPanel : n % kPanel;
    for (const int64_t rows : {std::min(n, kPanel), last}) {
      products_.push_back(dnn::make_matmul(
          {.a_dims = {m_, k}, .b_dims = {k, rows}, .dst_dims = {m_, rows}, .b_transposed = true, .threads = 1}));
      if (products_.back() == nullptr) return false;
      kernel_bytes_ = std::max(kernel_bytes_, products_.back()->scratch_bytes());
    }
    kernel_bytes_ = (kernel_bytes_ + 63) / 64 * 64;
    return true;
  }

  void run(const std::vector<Worker>& workers, float* y) const {
    const int64_t n = rows_.rule.n;
    const float* bias = bias_ ? bias_.values<float>().data() : nullptr;
#pragma omp parallel for num_threads(threads_)
    for (int64_t first = 0; first < n; first += kPanel) {
      const Worker& worker = workers[static_cast<size_t>(omp_get_thread_num())];
      const int64_t rows = std::min(kPanel, n - first);
      for (int64_t i = 0; i < rows; ++i) rows_.unpack(first + i, worker.panel + i * rows_.rule.k);
      worker.products[rows == kPanel ? 0 : 1]();
      for (int64_t i = 0; i < m_; ++i) {
        for (int64_t j = 0; j < rows; ++j) {
          y[i * n + first + j] = worker.sums[i * rows + j] + (bias != nullptr ? bias[first + j] : 0);
        }
      }
    }
  }

  const Tensor weight_;
  const PackedRows rows_;
  const int64_t m_;
  const int threads_;
  Tensor bias_;
  std::vector<std::unique_ptr<dnn::Kernel>> products_;
  size_t kernel_bytes_ = 0;
};

// Few rows of a, one token at a time: the weight goes through the registers once for four of them.
class RowsStep : public Step {
 public:
  static constexpr int64_t kMostRows = 16;  // beyond, a panel in the cache is unpacked in less time

  RowsStep(const LowerContext& c, Tensor weight, Tensor bias, PackedRows rows)
      : weight_(std::move(weight)),
        bias_(std::move(bias)),
        rows_(std::move(rows)),
        has_zeros_(c.has(kZeros)),
        m_(element_count(c.input(kA).dims) / rows_.rule.k),
        threads_(c.threads()) {
    if (!has_zeros_) {
      rows_.zeros = {};
    } else {
      for (size_t i = 0; i < rows_.zeros.size(); ++i) rows_.zeros[i] *= rows_.scales[i];
    }
  }

  size_t scratch_bytes() const override { return static_cast<size_t>(split_floats() + m_ * blocks()) * sizeof(float); }
  std::string implementation() const override { return "simd:packed_rows"; }

  std::function<void()> bind(const StepIo& io) const override {
    auto* split = reinterpret_cast<float*>(io.scratch);
    return [this, split, sums = split + split_floats(), a = io.inputs[kA].as<float>(), y = io.outputs[0].as<float>()] {
      run(a, split, sums, y);
    };
  }

 private:
  static constexpr int64_t kTile = 32;  // rows of the weight that a thread takes at once

  int64_t blocks() const { return rows_.rule.blocks(); }
  int64_t split_floats() const { return m_ * blocks() * rows_.rule.block; }

  void run(const float* a, float* split, float* sums, float* y) const {
    const PackedRule& rule = rows_.rule;
    const PackedWeight weight{.n = rule.n,
                              .k = rule.k,
                              .bits = rule.bits,
                              .block = rule.block,
                              .bytes = rows_.bytes,
                              .scales = rows_.scales.data(),
                              .scaled_zeros = has_zeros_ ? rows_.zeros.data() : nullptr};
    const float* bias = bias_ ? bias_.values<float>().data() : nullptr;
    split_rows(weight, a, m_, split, sums);
#pragma omp parallel for num_threads(threads_)
    for (int64_t first = 0; first < rule.n; first += kTile) {
      packed_product(weight, split, sums, m_, first, std::min(first + kTile, rule.n), bias, y);
    }
  }

  const Tensor weight_, bias_;
  PackedRows rows_;  // zeros: times the scales
  const bool has_zeros_;
  const int64_t m_;
  const int threads_;
};

std::unique_ptr<Step> lower(const LowerContext& c) {
  if (!c.epilogues().empty() || c.input(kA).dtype != DType::kFloat32) return nullptr;
  for (const size_t port : {kWeight, kScales, kZeros, kBias}) {
    if (c.has(port) && c.input(port).constant == nullptr) return nullptr;
  }
  const int64_t m = element_count(c.input(kA).dims) / rule_of(c.node()).k;
  if (m > RowsStep::kMostRows || m == 0) return PanelStep::make(c);
  const auto view = [&](size_t port) { return c.has(port) ? c.input(port).constant->view() : TensorView(); };
  Tensor bias = c.has(kBias) ? c.input(kBias).constant->cast(DType::kFloat32) : Tensor();
  return std::make_unique<RowsStep>(c, *c.input(kWeight).constant, std::move(bias),
                                    PackedRows(c.node(), view(kWeight), view(kScales), view(kZeros)));
}

Cost cost(const CostContext& c) { return {element_count(c.output(0)) * c.input(kA).back()}; }

void import_packed(ImportContext& c) {
  if (c.input(kGroups).valid()) c.unsupported("an order of its groups (g_idx) is not known");
  if (c.attrs().get<int64_t>("weight_prepacked", 0) != 0) c.unsupported("a weight packed for another device");
  import_default(c);
}

Sample sample(std::string name, Dims a, int64_t n, int64_t bits, int64_t block, bool zeros, bool bias) {
  const int64_t k = a.back(), blocks = (k + block - 1) / block;
  Sample result{
      .name = std::move(name),
      .inputs = {random_input(std::move(a)), random_weight({n, blocks, block * bits / 8}, 0, 255, DType::kUInt8),
                 random_weight({n * blocks}, 0.01, 0.1)},
      .attrs = {{"K", k}, {"N", n}, {"bits", bits}, {"block_size", block}}};
  result.inputs.resize(bias ? 6 : 4, absent_input());
  if (zeros) result.inputs[kZeros] = random_weight({n * ((blocks * bits + 7) / 8)}, 0, 255, DType::kUInt8);
  if (bias) result.inputs[kBias] = random_weight({n});
  return result;
}

std::vector<Sample> samples() {
  return {sample("four_bits", {2, 3, 64}, 11, 4, 16, false, false),
          sample("ragged", {5, 75}, 70, 4, 32, true, true),
          sample("eight_bits", {3, 64}, 9, 8, 32, false, false),
          sample("eight_bits_zeros", {1, 50}, 13, 8, 16, true, false),
          sample("one_token", {1, 1, 200}, 37, 4, 32, true, true),
          sample("two_bits", {3, 150}, 21, 2, 16, true, false),
          sample("two_bits_wide", {2, 129}, 7, 2, 64, false, true),
          sample("many_rows", {19, 96}, 70, 4, 32, true, true)};
}

}  // namespace

void add_matmul_nbits_op(OpTable& table) {
  table.add({.name = "matmul_nbits",
             .doc = "Product with a weight of 2, 4 or 8 bits, quantized in blocks.",
             .inputs = {{"a"},
                        {"b", Role::kWeight},
                        {"scales", Role::kParameter},
                        {"zero_points", Role::kParameter, true},
                        {"g_idx", Role::kParameter, true},
                        {"bias", Role::kBias, true}},
             .outputs = {{"y"}},
             .attrs = {required_attr("K", AttrType::kInt), required_attr("N", AttrType::kInt), int_attr("bits", 4),
                       required_attr("block_size", AttrType::kInt), int_attr("accuracy_level", 0),
                       int_attr("weight_prepacked", 0)},
             .infer = infer,
             .run = run,
             .lower = lower,
             .quant = QuantRule::keep_float("its weight is quantized already"),
             .axes = axes_none,
             .cost = cost,
             .spellings = {{.domain = kMicrosoft, .type = "MatMulNBits", .import = import_packed}},
             .samples = samples});
}

}  // namespace amct
