// The voice detectors of the assets (If, LSTM, a state from frame to frame) on real speech, against what PyTorch
// recorded: as the file has them, simplified and fused, compiled and with plain kernels; other batches and sample rates
// against node by node.
#include <gtest/gtest.h>

#include "exec/session.h"
#include "ops/op_row.h"
#include "passes/pass.h"
#include "support/tensor_makers.h"
#include "support/tensors.h"
#include "workflow/model.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

constexpr int64_t kFrame = 512;
constexpr int64_t kContext = 64;  // samples of the frame before, which the ONNX variants want in front
constexpr double kTolerance = 1e-4;
constexpr const char* kModels[] = {"silero_vad_16k_op15", "silero_vad_openvino_16k"};

Graph load(const std::string& name) { return load_model(assets() / "onnx" / (name + ".onnx")); }

// Inputs in the graph's order: input, state and, if it is there, the sample rate.
std::vector<Tensor> inputs_for(const Graph& graph, const Tensor& samples, const Tensor& state, int64_t rate) {
  std::vector<Tensor> inputs = {samples, state};
  if (graph.inputs().size() == 3) inputs.push_back(Tensor::scalar(rate));
  return inputs;
}

void check_speech(const Graph& graph, const CompileOptions& options, size_t frames) {
  const auto folder = assets() / "conformance/reference_io/silero_vad_jit";
  const std::vector<float> speech = read_floats(folder / "input.f32");
  const std::vector<float> expected = read_floats(folder / "speech_prob_all_frames.f32");
  Session session{Graph(graph), options};
  Tensor state = Tensor::of<float>({2, 1, 128}, std::vector<float>(256, 0));
  for (size_t frame = 0; frame < frames; ++frame) {
    std::vector<float> samples(kContext, 0);
    const auto begin = speech.begin() + static_cast<long>(frame) * kFrame;
    if (frame > 0) samples.assign(begin - kContext, begin);
    samples.insert(samples.end(), begin, begin + kFrame);
    const Tensor input = Tensor::of<float>({1, kFrame + kContext}, samples);
    const auto outputs = session.run(inputs_for(graph, input, state, 16000));
    ASSERT_NEAR(outputs[0].to_doubles().at(0), expected[frame], kTolerance) << "frame " << frame;
    state = outputs[1];
  }
}

TEST(Speech, AsTheFileHasIt) {
  AMCT_NEEDS_ASSETS();
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    check_speech(load(name), {}, 64);
  }
}

TEST(Speech, SimplifiedAndFused) {
  AMCT_NEEDS_ASSETS();
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    Graph graph = load(name);
    prepare(graph);
    check_speech(graph, {}, 64);
  }
}

TEST(Speech, PlainKernels) {
  AMCT_NEEDS_ASSETS();
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    check_speech(load(name), {.compiled_kernels = false}, 8);
  }
}

// Which branch is taken follows from the sample rate and the extents: each combination is one program.
TEST(Speech, BranchesThatInputsDecideAreCompiled) {
  AMCT_NEEDS_ASSETS();
  const Graph graph = load(kModels[0]);
  Session session{Graph(graph)};
  Session plain{Graph(graph), {.compiled_kernels = false}};
  std::mt19937_64 random(5);
  for (const int64_t rate : {16000, 8000, 16000}) {
    for (const Dims& dims : {Dims{1, 512}, Dims{3, 576}, Dims{2, 256}}) {
      const Tensor samples = random_tensor(DType::kFloat32, dims, -1, 1, random);
      const Tensor state = random_tensor(DType::kFloat32, {2, dims[0], 128}, -1, 1, random);
      const std::vector<Tensor> inputs = inputs_for(graph, samples, state, rate);
      EXPECT_TRUE(session.program(inputs)->complete()) << to_string(dims);
      const auto outputs = session.run(inputs);
      const auto expected = plain.run(inputs);
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(close(outputs[i], expected[i], 1e-4, 1e-5)) << i;
    }
  }
}

}  // namespace
}  // namespace amct::testing
