// make_seeds FOLDER: writes FOLDER/<target>/<n>, small inputs that the fuzz targets start from, with our own writers.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/files.h"
#include "data/array_files.h"
#include "data/image_files.h"
#include "data/npy.h"
#include "export/onnx/write_onnx.h"
#include "ir/random_tensor.h"
#include "ir/text.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "recipe/plan_json.h"
#include "recipe/record_file.h"
#include "support/sample_node.h"
#include "support/tensor_files.h"
#include "workflow/calibration_part.h"

using namespace amct;
namespace fs = std::filesystem;

namespace {

constexpr size_t kLargest = 4096;  // bytes of a seed: short inputs are tried more often

class Seeds {
 public:
  explicit Seeds(fs::path root) : root_(std::move(root)) {}

  void add(const std::string& target, const std::string& bytes) {
    fs::create_directories(root_ / target);
    std::ofstream(root_ / target / fmt::format("{:04}", counts_[target]++), std::ios::binary) << bytes;
  }
  // What `write` puts into a file.
  template <typename F>
  void add_file(const std::string& target, F&& write) {
    const fs::path path = root_ / "seed.tmp";
    write(path);
    add(target, read_text(path));
    fs::remove(path);
  }
  void add_graph(const Graph& graph) {
    const std::string text = to_text(graph, TextOptions::full());
    if (text.size() <= kLargest) add("graph_text", text);
    try {
      add_file("onnx", [&](const fs::path& path) { write_onnx(graph, path); });
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) throw;  // some operators have no form in ONNX
    }
  }

 private:
  fs::path root_;
  std::map<std::string, size_t> counts_;
};

// Every form of every operator.
void add_operators(Seeds& seeds) {
  for (const OpRow& row : op_table().rows()) {
    for (const Sample& sample : row.samples()) {
      for (const int64_t opset : {23, 11}) {
        const auto made = testing::make_sample_node(row, sample, 7, opset);
        size_t bytes = 0;
        for (const ValueId id : made.graph.values())
          bytes += made.graph.value(id).data ? made.graph.value(id).data.bytes().size() : 0;
        if (bytes <= kLargest) seeds.add_graph(made.graph);
      }
    }
  }
}

// What the passes look for: a convolution with a batch norm around it, a pad, constants to fold, a small-op chain.
Graph network() {
  using Ints = std::vector<int64_t>;
  Graph graph;
  graph.info.opsets = {{"", 17}};
  const auto floats = [&](std::string_view name, const Dims& dims, uint64_t seed) {
    return graph.add_constant(name, random_tensor(DType::kFloat32, dims, seed));
  };
  const auto op = [&](std::string_view name, std::string_view type, std::vector<ValueId> inputs, Attrs attrs = {}) {
    return graph.node(add_op(graph, name, type, std::move(inputs), std::move(attrs))).output();
  };
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({Dim::named("N"), 2, 6, 5})});
  const ValueId pads = graph.add_constant("pads", Tensor::of<int64_t>({8}, {0, 0, 1, 1, 0, 0, 1, 1}));
  const ValueId positive = graph.add_constant("var", Tensor::of<float>({3}, {1, 2, 0.5f}));
  ValueId y = op("pad", "pad", {x, pads});
  y = op("conv", "conv", {y, floats("w", {3, 2, 3, 3}, 1), floats("b", {3}, 2)});
  y = op("bn", "batch_norm", {y, floats("scale", {3}, 3), floats("shift", {3}, 4), floats("mean", {3}, 5), positive});
  y = op("relu", "relu", {y});
  y = op("mul", "mul", {y, op("sum", "add", {floats("m", {1, 3, 1, 1}, 6), floats("n", {1, 3, 1, 1}, 7)})});
  y = op("t1", "transpose", {y}, {{"perm", Ints{0, 2, 3, 1}}});
  y = op("t2", "transpose", {y}, {{"perm", Ints{0, 3, 1, 2}}});
  y = op("pool", "average_pool", {y}, {{"kernel_shape", Ints{2, 2}}});
  y = op("flatten", "reshape", {y, graph.add_constant("to", Tensor::of<int64_t>({2}, {0, -1}))});
  y = op("fc", "matmul", {y, floats("fw", {60, 4}, 8)});
  y = op("fc_bias", "add", {y, floats("fb", {4}, 9)});
  graph.set_outputs({op("softmax", "softmax", {y})});
  update_types(graph);
  return graph;
}

Plan calibrated(const Graph& graph) {
  Plan plan = plan_layers(graph);
  for (const std::string& tensor : tensors_to_calibrate(graph, plan)) {
    plan.tensors.push_back({tensor, ActivationPlan{.factor = ScaleOffset{0.125f, 4}}});
  }
  for (LayerPlan& layer : plan.layers) {
    layer.activation.factor = ScaleOffset{0.0625f, -3};
    if (!layer.weight) continue;
    const auto channels = static_cast<size_t>(output_channels(graph, graph.find_node(layer.name)));
    layer.weight->scales.assign(layer.weight->per_channel ? channels : 1, 0.0078125f);
  }
  return plan;
}

void add_networks(Seeds& seeds) {
  const Graph graph = network();
  const Plan plan = calibrated(graph);
  seeds.add_graph(graph);
  seeds.add_graph(apply_ascend(graph, plan));
  seeds.add_graph(apply_qdq(graph, plan, qdq_target("ort")));
  seeds.add("plan", format_plan(plan));
  seeds.add("record", format_records(records_of(plan)));
  Plan other = plan;
  other.warnings = {"a \"b\"\n\xc3\xa9"};
  for (const auto method : {ClipSearch::Method::kMinMax, ClipSearch::Method::kPercentile, ClipSearch::Method::kMse,
                            ClipSearch::Method::kKl}) {
    other.layers.front().activation.search.method = method;
    other.layers.front().activation.bits = 16;
    other.layers.back().quantize = false;
    other.layers.back().reason = "why";
    other.tensors.push_back({"sum", other.layers.front().activation});
    seeds.add("plan", format_plan(other));
    seeds.add("record", format_records(records_of(other)));
  }
  seeds.add("record", format_records({{.key = "k\n'\"",
                                       .scale_d = 1.0f,
                                       .offset_d = -1,
                                       .scale_w = {1.0f, 2.0f},
                                       .offset_w = {0, 0},
                                       .shift_bit = {1, 3},
                                       .tensor_balance_factor = {0.5f},
                                       .skip_fusion = true,
                                       .dst_type = "INT8"}}));
}

// Parts with histograms of every form: few values, buckets (few of them, so that seeds stay short), sampled.
void add_calibrations(Seeds& seeds) {
  const auto statistics = [](int values, int64_t every, int64_t channels) {
    TensorStatistics result(ObservedView{.tail_capacity = 4, .channel_axis = 2, .every = every});
    std::vector<float> x(static_cast<size_t>(values));
    for (size_t i = 0; i < x.size(); ++i) x[i] = (i % 2 == 0 ? 1.0f : -1.5f) + 1e-6f * static_cast<float>(i);
    const Dims dims{1, values / channels, channels};
    result.add({DType::kFloat32, dims, reinterpret_cast<const std::byte*>(x.data())});
    return result;
  };
  CalibrationPart part;
  part.identity = {.model = "net.onnx", .settings = "a\nb", .data = "c", .asked = 9, .samples = 7, .isa = "avx2"};
  part.taken = {0, 7};
  part.maxima["x"];
  seeds.add("calibration", format_part(part));
  part.tensors.emplace("few", TensorPart{statistics(12, 1, 3), {}});
  part.tensors.emplace("ordered", TensorPart{statistics(15, 1, 5), {.bins = {2}, .histograms = {{-1, 2, {3, 4}}}}});
  part.kind = CalibrationPart::Kind::kCheckpoint;
  seeds.add("calibration", format_part(part));
  part.tensors.emplace("buckets", TensorPart{statistics(3000, 1, 3), {}});
  part.tensors.emplace("sampled", TensorPart{statistics(6000, 5, 3), {}});
  seeds.add("calibration", format_part(part));
}

void add_arrays(Seeds& seeds) {
  for (const DType dtype : {DType::kBool, DType::kInt16, DType::kUInt8, DType::kInt64, DType::kFloat16, DType::kFloat32,
                            DType::kFloat64, DType::kComplex64}) {
    Tensor tensor = Tensor::allocate(dtype, {2, 3});
    for (size_t i = 0; i < tensor.bytes().size(); ++i) tensor.mutable_data()[i] = static_cast<std::byte>(i % 2);
    seeds.add_file("array", [&](const fs::path& path) { write_npy(path, tensor.view()); });
    seeds.add_file("array", [&](const fs::path& path) { testing::save_tensor(tensor, path); });
  }
  const std::string member = npy("{'descr': '>f4', 'fortran_order': True, 'shape': (2, 1), }", "abcdefgh", 2);
  for (const bool deflate : {false, true}) seeds.add("array", zip("x.npy", member, deflate));
  seeds.add("array", member);
  seeds.add("array", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02"
                                 "abcd",
                                 20));
}

void add_images(Seeds& seeds) {
  std::vector<uint8_t> pixels(9 * 11 * 4);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37);
  for (const int components : {1, 3, 4}) {
    for (const bool progressive : {false, true}) {
      seeds.add("image", jpeg_file(9, 11, components, pixels, 60, progressive));
    }
  }
  const std::vector<png_color> palette = {{1, 2, 3}, {200, 100, 0}, {9, 9, 9}, {255, 255, 255}};
  const struct {
    int color, bits;
    size_t row_bytes;
  } forms[] = {{PNG_COLOR_TYPE_GRAY, 1, 1},   {PNG_COLOR_TYPE_GRAY, 8, 5},        {PNG_COLOR_TYPE_GRAY, 16, 10},
               {PNG_COLOR_TYPE_RGB, 8, 15},   {PNG_COLOR_TYPE_RGB_ALPHA, 16, 40}, {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 10},
               {PNG_COLOR_TYPE_PALETTE, 2, 2}};
  for (const auto& form : forms) {
    for (const bool interlaced : {false, true}) {
      const std::vector<uint8_t> rows(pixels.begin(), pixels.begin() + static_cast<ptrdiff_t>(3 * form.row_bytes));
      seeds.add("image", png_file(3, 5, rows,
                                  {form.color, form.bits, interlaced,
                                   form.color == PNG_COLOR_TYPE_PALETTE ? palette : std::vector<png_color>{}}));
    }
  }
}

void add_options(Seeds& seeds) {
  for (const char* preprocess : {"imagenet", "imagenet-tf", "cifar,color=bgr", "mnist", "unit,layout=nhwc",
                                 "resize=256,crop=224,mean=1/2/3,std=4 5 6,color=rgb", "resize=24x32,filter=area"}) {
    seeds.add("options", fmt::format("{}\nname:1,3,224,224\n-1,5\nfloat32\n", preprocess));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_seeds FOLDER\n");
    return 1;
  }
  try {
    Seeds seeds(argv[1]);
    fs::create_directories(argv[1]);
    add_operators(seeds);
    add_networks(seeds);
    add_calibrations(seeds);
    add_arrays(seeds);
    add_images(seeds);
    add_options(seeds);
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
