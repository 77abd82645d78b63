#include "ops/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ir/dispatch.h"
#include "kernels/dnnl/matmul.h"
#include "kernels/simd/few_rows.h"
#include "kernels/simd/float_unary.h"
#include "kernels/simd/softmax.h"

namespace amct {
namespace {

constexpr double kUnseen = -std::numeric_limits<double>::infinity();

template <typename F>
void load(const TensorView& from, int64_t offset, int64_t count, F* to) {
  visit_numeric(from.dtype, [&]<typename T>(Tag<T>) {
    const T* elements = from.as<T>() + offset;
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<F>(static_cast<Compute<T>>(elements[i]));
  });
}

template <typename F>
void store(const F* from, int64_t count, const MutableView& to, int64_t offset) {
  visit_numeric(to.dtype, [&]<typename T>(Tag<T>) {
    T* elements = to.as<T>() + offset;
    for (int64_t i = 0; i < count; ++i) elements[i] = static_cast<T>(static_cast<Compute<T>>(from[i]));
  });
}

// Memory of one worker: the gathered keys and values of a unit, and a block of rows.
template <typename F>
struct Buffers {
  F* keys;     // (keys, width)
  F* values;   // (keys, value width)
  F* queries;  // (rows, width), times the scale
  F* scores;   // (rows, keys)
  F* sums;     // (rows, value width)
  F* row;      // keys + 1
};

struct BlockRule {
  int64_t rows, tail;  // rows of all blocks but the last, and of the last
};
BlockRule blocks_of(const AttentionProblem& p) {
  constexpr int64_t kScoresInCache = 1 << 18, kFewest = 16, kMost = 128;
  const int64_t all = p.group() * p.queries;
  const int64_t rows = std::min(all, std::clamp(kScoresInCache / std::max<int64_t>(p.keys, 1), kFewest, kMost));
  return {rows, rows > 0 && all % rows != 0 ? all % rows : rows};
}

template <typename F>
void rotate(const Rotation& rotation, int64_t place, F* row) {
  if (!rotation.cosines) return;
  const int64_t half = rotation.width / 2, columns = rotation.cosines.dims.back();
  const int64_t first = rotation.interleaved ? 2 : 1, second = rotation.interleaved ? 1 : half;
  for (int64_t i = 0; i < half; ++i) {
    F cosine = 0, sine = 0;
    load(rotation.cosines, place * columns + i, 1, &cosine);
    load(rotation.sines, place * columns + i, 1, &sine);
    F &a = row[i * first], &b = row[i * first + second];
    const F turned = cosine * a - sine * b;
    b = sine * a + cosine * b;
    a = turned;
  }
}

// Keys or values of one head next to each other, and in `present` if that is wanted. Returns where: `base`, or in
// `present` alone if the caller takes them `anywhere`.
template <typename F>
const F* gather(const AttentionProblem& p, const KeyValues& source, int64_t b, int64_t head, bool rotates,
                bool anywhere, F* base) {
  const int64_t tokens = source.present ? source.present.dims[2] : 0;
  const int64_t first_present = (b * p.kv_heads + head) * tokens * source.width;
  const bool in_place = anywhere && tokens >= p.keys && source.present.dtype == dtype_of<F>();
  F* to = base = in_place ? source.present.as<F>() + first_present : base;
  const int64_t past = std::min(p.past_lengths[static_cast<size_t>(b)], p.keys);
  const bool dense = source.past_strides.token == source.width;
  if (dense && past > 0) {
    load(source.past, b * source.past_strides.batch + head * source.past_strides.head, past * source.width, to);
    to += past * source.width;
  }
  for (int64_t token = dense ? past : 0; token < p.keys; ++token, to += source.width) {
    const bool earlier = token < past;
    const int64_t at = earlier ? token : token - past;
    if (!earlier && at >= source.fresh_tokens) {
      std::fill_n(to, source.width, F{0});
      continue;
    }
    const TensorView& from = earlier ? source.past : source.fresh;
    const HeadStrides& strides = earlier ? source.past_strides : source.fresh_strides;
    load(from, b * strides.batch + head * strides.head + at * strides.token, source.width, to);
    if (!earlier && rotates) rotate(p.rotation, token, to);
  }
  if (!source.present) return base;
  const int64_t held = std::min(tokens, p.keys) * source.width;
  if (!in_place) store(base, held, source.present, first_present);
  const std::vector<F> zeros(static_cast<size_t>(tokens * source.width - held));
  store(zeros.data(), static_cast<int64_t>(zeros.size()), source.present, first_present + held);
  return base;
}

template <typename F>
void add_bias(const ScoreBias& bias, int64_t b, int64_t h, int64_t query, int64_t keys, F* row) {
  const int64_t first = b * bias.strides[0] + h * bias.strides[1] + query * bias.strides[2];
  const int64_t step = bias.strides[3], count = std::min(keys, bias.keys);
  visit_numeric(bias.values.dtype, [&]<typename T>(Tag<T>) {
    const T* values = bias.values.as<T>() + first;
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_integral_v<T>) {
        if (values[i * step] == T{0}) row[i] += static_cast<F>(bias.masked);
      } else {
        row[i] += static_cast<F>(static_cast<Compute<T>>(values[i * step]));
      }
    }
  });
  std::fill(row + count, row + keys, static_cast<F>(kUnseen));
}

void softmax_of(float* row, int64_t n) { float_softmax(row, row, 1, n, 1, false); }
void softmax_of(double* row, int64_t n) {
  const double most = *std::max_element(row, row + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += row[i] = std::exp(row[i] - most);
  for (int64_t i = 0; i < n; ++i) row[i] /= sum;
}

void cap(float* row, int64_t n, float limit) {
  for (int64_t i = 0; i < n; ++i) row[i] /= limit;
  float_unary(FloatUnary::kTanh, row, row, static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) row[i] *= limit;
}
void cap(double* row, int64_t n, double limit) {
  for (int64_t i = 0; i < n; ++i) row[i] = std::tanh(row[i] / limit) * limit;
}

// One row of products becomes probabilities.
template <typename F>
void finish_row(const AttentionProblem& p, int64_t b, int64_t h, int64_t query, F* row, F* spare) {
  const auto keep = [&](ScoreStage stage) {
    if (p.scores && p.stage == stage) store(row, p.keys, p.scores, ((b * p.heads + h) * p.queries + query) * p.keys);
  };
  const auto entry = static_cast<size_t>(b);
  keep(ScoreStage::kProduct);
  if (p.softcap > 0) cap(row, p.keys, static_cast<F>(p.softcap));
  keep(ScoreStage::kCapped);
  for (const ScoreBias& bias : p.biases) add_bias(bias, b, h, query, p.keys, row);
  const int64_t place = p.places[entry] + query;
  const int64_t reach = p.keys + p.queries;  // wider windows hold everything
  int64_t end = std::min(p.keys, p.key_counts[entry]);
  if (p.causal) end = std::min(end, place + 1);
  if (p.right >= 0) end = std::min(end, place + std::min(p.right, reach) + 1);
  end = std::max<int64_t>(end, 0);
  const int64_t begin = p.left >= 0 ? std::clamp<int64_t>(place - std::min(p.left, reach), 0, end) : 0;
  std::fill(row, row + begin, static_cast<F>(kUnseen));
  std::fill(row + end, row + p.keys, static_cast<F>(kUnseen));
  keep(ScoreStage::kBiased);
  if (std::all_of(row + begin, row + end, [](F x) { return x == static_cast<F>(kUnseen); })) {
    std::fill_n(row, p.keys, F{0});
  } else if (p.sinks || p.smooth_softmax) {
    std::copy(row + begin, row + end, spare);
    spare[end - begin] = 0;
    if (p.sinks) load(p.sinks, h, 1, spare + (end - begin));
    softmax_of(spare, end - begin + 1);
    std::copy(spare, spare + (end - begin), row + begin);
  } else {
    softmax_of(row + begin, end - begin);
  }
  std::fill(row, row + begin, F{0});
  std::fill(row + end, row + p.keys, F{0});
  keep(ScoreStage::kSoftmax);
}

// One head of keys of one batch entry. `products(rows, keys)` fills scores from queries and keys, `mixtures(rows,
// values)` sums; `anywhere`: they read keys and values where they are told, not in the buffers.
template <typename F, typename Products, typename Mixtures>
void attend(const AttentionProblem& p, int64_t unit, bool anywhere, const Buffers<F>& at, const Products& products,
            const Mixtures& mixtures) {
  const int64_t b = unit / p.kv_heads, kv_head = unit % p.kv_heads;
  const F* keys = gather(p, p.key, b, kv_head, true, anywhere, at.keys);
  const F* values = gather(p, p.value, b, kv_head, false, anywhere, at.values);
  const int64_t all = p.group() * p.queries, block = blocks_of(p).rows;
  const auto place_of = [&](int64_t row, const HeadStrides& strides) {
    return b * strides.batch + (kv_head * p.group() + row / p.queries) * strides.head + row % p.queries * strides.token;
  };
  for (int64_t first = 0; first < all; first += block) {
    const int64_t rows = std::min(block, all - first);
    for (int64_t i = 0; i < rows; ++i) {
      F* query = at.queries + i * p.width;
      load(p.query, place_of(first + i, p.query_strides), p.width, query);
      rotate(p.rotation, p.places[static_cast<size_t>(b)] + (first + i) % p.queries, query);
      for (int64_t k = 0; k < p.width; ++k) query[k] *= static_cast<F>(p.scale);
    }
    products(rows, keys);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = first + i;
      finish_row(p, b, kv_head * p.group() + row / p.queries, row % p.queries, at.scores + i * p.keys, at.row);
    }
    mixtures(rows, values);
    for (int64_t i = 0; i < rows; ++i) {
      store(at.sums + i * p.value.width, p.value.width, p.output, place_of(first + i, p.output_strides));
    }
  }
}

// Elements of the buffers, each at a multiple of 64 bytes of floats.
struct BufferSizes {
  explicit BufferSizes(const AttentionProblem& p) {
    const int64_t rows = blocks_of(p).rows;
    const int64_t sizes[] = {p.keys * p.width, p.keys * p.value.width, rows * p.width,
                             rows * p.keys,    rows * p.value.width,   p.keys + 1};
    for (size_t i = 0; i < 6; ++i) {
      starts[i] = total;
      total += static_cast<size_t>((sizes[i] + 15) / 16 * 16);
    }
  }
  template <typename F>
  Buffers<F> at(F* base) const {
    return {base + starts[0], base + starts[1], base + starts[2], base + starts[3], base + starts[4], base + starts[5]};
  }
  std::array<size_t, 6> starts{};
  size_t total = 0;
};

class AttentionStep : public Step {
 public:
  AttentionStep(const LowerContext& c, MakeAttention make, bool per_run)
      : node_(c.node()), make_(make), per_run_(per_run), threads_(c.threads()) {}

  // False where the library has no fast product.
  bool create(const AttentionProblem& p) {
    sizes_ = std::make_unique<BufferSizes>(p);
    const auto make = [](Dims a, Dims b, Dims y, bool transposed) {
      return dnn::make_matmul({.a_dims = std::move(a),
                               .b_dims = std::move(b),
                               .dst_dims = std::move(y),
                               .b_transposed = transposed,
                               .threads = 1});
    };
    const BlockRule blocks = blocks_of(p);
    if (is_small(p)) return true;
    for (const int64_t rows : {blocks.rows, blocks.tail}) {
      products_.push_back(make({rows, p.width}, {p.width, p.keys}, {rows, p.keys}, true));
      mixtures_.push_back(make({rows, p.keys}, {p.keys, p.value.width}, {rows, p.value.width}, false));
      if (products_.back() == nullptr || mixtures_.back() == nullptr) return false;
      kernel_bytes_ = std::max({kernel_bytes_, products_.back()->scratch_bytes(), mixtures_.back()->scratch_bytes()});
    }
    kernel_bytes_ = (kernel_bytes_ + 63) / 64 * 64;
    whole_ = blocks.rows;
    return true;
  }

  size_t scratch_bytes() const override { return static_cast<size_t>(threads_) * worker_bytes(); }
  std::string implementation() const override {
    return products_.empty() ? "simd:few_rows" : products_.front()->implementation();
  }

  std::function<void()> bind(const StepIo& io) const override {
    std::vector<Worker> workers;
    for (int i = 0; i < threads_; ++i) {
      std::byte* base = io.scratch + static_cast<size_t>(i) * worker_bytes();
      workers.push_back({sizes_->at(reinterpret_cast<float*>(base + kernel_bytes_)), {}, {}});
      const Buffers<float>& at = workers.back().at;
      for (size_t k = 0; k < products_.size(); ++k) {
        const void* query_operands[] = {at.queries, at.keys, nullptr};
        workers.back().products.push_back(products_[k]->bind(query_operands, at.scores, base));
        const void* score_operands[] = {at.scores, at.values, nullptr};
        workers.back().mixtures.push_back(mixtures_[k]->bind(score_operands, at.sums, base));
      }
    }
    AttentionProblem problem;
    if (!per_run_) problem = make_(node_, io.inputs, io.outputs);
    return
        [this, workers = std::move(workers), problem = std::move(problem), inputs = io.inputs, outputs = io.outputs] {
          if (per_run_) return run(workers, make_(node_, inputs, outputs));
          run(workers, problem);
        };
  }

 private:
  struct Worker {
    Buffers<float> at;
    std::vector<std::function<void()>> products, mixtures;  // of whole blocks, of the last one
  };
  // Attention of single tokens: all rows that share keys are few.
  static bool is_small(const AttentionProblem& p) { return p.group() * p.queries <= 8; }
  size_t worker_bytes() const { return kernel_bytes_ + sizes_->total * sizeof(float); }

  void run(const std::vector<Worker>& workers, const AttentionProblem& p) const {
#pragma omp parallel for num_threads(threads_)
    for (int64_t unit = 0; unit < p.batch * p.kv_heads; ++unit) {
      const Worker& worker = workers[static_cast<size_t>(omp_get_thread_num())];
      const Buffers<float>& at = worker.at;
      if (products_.empty()) {
        attend(
            p, unit, true, at,
            [&](int64_t rows, const float* keys) {
              few_rows_times_transposed(at.queries, keys, rows, p.keys, p.width, at.scores);
            },
            [&](int64_t rows, const float* values) {
              few_rows_times(at.scores, values, rows, p.value.width, p.keys, at.sums);
            });
      } else {
        attend(
            p, unit, false, at, [&](int64_t rows, const float*) { worker.products[rows == whole_ ? 0 : 1](); },
            [&](int64_t rows, const float*) { worker.mixtures[rows == whole_ ? 0 : 1](); });
      }
    }
  }

  const Node node_;
  const MakeAttention make_;
  const bool per_run_;
  const int threads_;
  std::unique_ptr<BufferSizes> sizes_;
  std::vector<std::unique_ptr<dnn::Kernel>> products_, mixtures_;
  size_t kernel_bytes_ = 0;
  int64_t whole_ = 0;
};

}  // namespace

HeadStrides heads_first(int64_t heads, int64_t tokens, int64_t width) {
  return {heads * tokens * width, tokens * width, width};
}
HeadStrides tokens_first(int64_t heads, int64_t tokens, int64_t width) {
  return {heads * tokens * width, width, heads * width};
}

ScoreBias broadcast_bias(const TensorView& values) {
  ScoreBias bias{.values = values};
  int64_t stride = 1;
  for (size_t i = 0; i < 4; ++i) {
    const int64_t extent = i < values.dims.size() ? values.dims[values.dims.size() - 1 - i] : 1;
    if (i == 0) bias.keys = extent == 1 ? std::numeric_limits<int64_t>::max() : extent;
    bias.strides[3 - i] = extent == 1 ? 0 : stride;
    stride *= extent;
  }
  return bias;
}

void run_attention(const AttentionProblem& p, int threads) {
  const BufferSizes sizes(p);
  std::vector<std::vector<double>> memories(static_cast<size_t>(threads), std::vector<double>(sizes.total));
#pragma omp parallel for num_threads(threads)
  for (int64_t unit = 0; unit < p.batch * p.kv_heads; ++unit) {
    const Buffers<double> at = sizes.at(memories[static_cast<size_t>(omp_get_thread_num())].data());
    const auto products = [&](int64_t rows, const double*) {
      for (int64_t i = 0; i < rows * p.keys; ++i) {
        const double *query = at.queries + i / p.keys * p.width, *key = at.keys + i % p.keys * p.width;
        double sum = 0;
        for (int64_t k = 0; k < p.width; ++k) sum += query[k] * key[k];
        at.scores[i] = sum;
      }
    };
    const auto mixtures = [&](int64_t rows, const double*) {
      std::fill_n(at.sums, rows * p.value.width, 0.0);
      for (int64_t i = 0; i < rows * p.keys; ++i) {
        double* sum = at.sums + i / p.keys * p.value.width;
        const double* value = at.values + i % p.keys * p.value.width;
        for (int64_t k = 0; k < p.value.width; ++k) sum[k] += at.scores[i] * value[k];
      }
    };
    attend(p, unit, false, at, products, mixtures);
  }
}

void run_attention(const RunContext& c, MakeAttention make) {
  std::vector<TensorView> inputs;
  std::vector<MutableView> outputs;
  for (size_t i = 0; i < c.input_count(); ++i) inputs.push_back(c.input(i));
  for (size_t i = 0; i < c.output_count(); ++i) outputs.push_back(c.output(i));
  run_attention(make(c.node(), inputs, outputs), c.threads());
}

std::unique_ptr<Step> lower_attention(const LowerContext& c, MakeAttention make, bool per_run) {
  if (!c.epilogues().empty() || c.input(0).dtype != DType::kFloat32) return nullptr;
  std::vector<TensorView> inputs;
  std::vector<MutableView> outputs;
  for (size_t port = 0; port < c.input_count(); ++port) {
    const LowerContext::Port& input = c.input(port);
    inputs.push_back({input.dtype, input.dims, input.constant != nullptr ? input.constant->view().data : nullptr});
  }
  for (size_t port = 0; port < c.node().outputs.size(); ++port) {
    const bool wanted = c.node().output(port).valid();
    outputs.push_back(wanted ? MutableView{c.output(port).dtype, c.output(port).dims, nullptr} : MutableView());
  }
  const AttentionProblem shapes = make(c.node(), inputs, outputs);
  const int64_t work = shapes.batch * shapes.heads * shapes.queries * shapes.keys * shapes.width * shapes.value.width;
  if (work == 0) return nullptr;
  auto step = std::make_unique<AttentionStep>(c, make, per_run);
  return step->create(shapes) ? std::move(step) : nullptr;
}

}  // namespace amct
