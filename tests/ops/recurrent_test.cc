// rnn, gru and lstm beyond their samples: the compiled step at the extents of real layers and on several threads,
// outputs that are not wanted, what is refused, shapes known in part, and the way through older opsets.
#include "ops/recurrent.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "exec/session.h"
#include "support/sample_node.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

using namespace recurrent;

const char* name_of(RecurrentCell cell) {
  return cell == RecurrentCell::kRnn ? "rnn" : cell == RecurrentCell::kGru ? "gru" : "lstm";
}

constexpr RecurrentCell kCells[] = {RecurrentCell::kRnn, RecurrentCell::kGru, RecurrentCell::kLstm};

SampleNode node_of(RecurrentCell cell, RecurrentSample sample) {
  sample.ports = std::min<size_t>(sample.ports, cell == RecurrentCell::kLstm ? 8 : 6);
  sample.outputs = std::min<size_t>(sample.outputs, cell == RecurrentCell::kLstm ? 3 : 2);
  Sample made = recurrent_sample(cell, sample);
  // As layers are initialised: larger weights make the plain cell chaotic.
  const double size = 1 / std::sqrt(static_cast<double>(sample.hidden));
  for (size_t port = 1; port < made.inputs.size(); ++port) {
    if (made.inputs[port].constant && !made.inputs[port].value)
      made.inputs[port].low = -(made.inputs[port].high = size);
  }
  return make_sample_node(op_table().get(name_of(cell)), made);
}

// Compiled on `threads` threads against the plain kernel.
void expect_compiled(const SampleNode& node, int threads) {
  const std::vector<Tensor> expected = run_filled(node.node(), node.inputs, 0);
  Session session(node.graph, {.threads = threads});
  const std::vector<Tensor> feeds = feeds_of(node);
  const auto steps = session.program(feeds)->steps();
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_NE(steps[0].implementation, "generic");
  const std::vector<Tensor> outputs = session.run(feeds);
  for (size_t port = 0; port < expected.size(); ++port) {
    EXPECT_TRUE(close(outputs[port], expected[port], 2e-5, 2e-6)) << "output " << port;
  }
}

TEST(Recurrent, CompiledStepMatchesAtRealExtentsOnSeveralThreads) {
  const AttrValue both = std::string("bidirectional"), back = std::string("reverse");
  const std::vector<RecurrentSample> samples = {
      {"one_step", 1, 1, 257, 128, 8, {}, 3},
      {"long", 60, 1, 40, 200, 8, {}, 3},
      {"reverse", 30, 1, 13, 257, 8, {{"direction", back}}, 3},
      {"both", 25, 1, 31, 130, 8, {{"direction", both}}, 3},
      {"batch", 12, 7, 31, 130, 8, {}, 3},
      {"batch_both", 12, 5, 31, 130, 8, {{"direction", both}}, 3},
      {"batch_first", 12, 5, 31, 130, 8, {{"direction", both}, {"layout", int64_t{1}}}, 3},
      {"lengths", 12, 5, 31, 130, 8, {{"direction", both}}, 3, {12, 0, 1, 7, 12}},
      {"no_states", 12, 3, 31, 130, 4, {}, 3},
  };
  for (const RecurrentCell cell : kCells) {
    for (RecurrentSample sample : samples) {
      for (const int threads : {1, 2, 3}) {
        SCOPED_TRACE(::testing::Message() << name_of(cell) << " " << sample.name << ", " << threads << " threads");
        expect_compiled(node_of(cell, sample), threads);
        if (cell != RecurrentCell::kGru) continue;
        RecurrentSample linear = sample;
        linear.attrs.set("linear_before_reset", int64_t{1});
        expect_compiled(node_of(cell, linear), threads);
      }
    }
  }
}

TEST(Recurrent, NothingToWalkOverGivesZeroStates) {
  for (const RecurrentCell cell : kCells) {
    for (const RecurrentSample& sample :
         {RecurrentSample{"no_steps", 0, 2, 3, 5, 8, {}, 3}, RecurrentSample{"no_samples", 4, 0, 3, 5, 8, {}, 3}}) {
      SCOPED_TRACE(::testing::Message() << name_of(cell) << " " << sample.name);
      const SampleNode node = node_of(cell, sample);
      for (const bool compiled : {true, false}) {
        Session session(node.graph, {.compiled_kernels = compiled});
        const std::vector<Tensor> outputs = session.run(feeds_of(node));
        EXPECT_EQ(outputs[kY].dims(), (Dims{sample.steps, 1, sample.batch, 5}));
        EXPECT_EQ(outputs[kYh].dims(), (Dims{1, sample.batch, 5}));
        for (const double x : outputs[kYh].to_doubles()) EXPECT_EQ(x, 0);
      }
    }
  }
}

// One row more must not change the others: rows go through tiles of several or one by one.
TEST(Recurrent, SamplesDoNotSeeEachOther) {
  for (const RecurrentCell cell : kCells) {
    SCOPED_TRACE(name_of(cell));
    SampleNode all = node_of(cell, {"rows", 9, 6, 11, 37, 4, {}, 2});
    Session session(all.graph);
    const Tensor whole = session.run(feeds_of(all))[0];
    const auto x = all.inputs[kX].values<float>();
    for (int64_t sample = 0; sample < 6; ++sample) {
      std::vector<float> one;
      for (int64_t step = 0; step < 9; ++step) {
        one.insert(one.end(), x.begin() + (step * 6 + sample) * 11, x.begin() + (step * 6 + sample + 1) * 11);
      }
      std::vector<Tensor> inputs = all.inputs;
      inputs[kX] = Tensor::of<float>({9, 1, 11}, one);
      NodeId id;
      const Graph graph =
          graph_of_node(op_table().get(name_of(cell)), inputs, {false, true, true, true}, all.node().attrs, 2, &id);
      const Tensor alone = Session(graph).run({inputs[kX]})[0];
      for (int64_t step = 0; step < 9; ++step) {
        for (int64_t unit = 0; unit < 37; ++unit) {
          const float expected = whole.values<float>()[static_cast<size_t>((step * 6 + sample) * 37 + unit)];
          ASSERT_NEAR(alone.values<float>()[static_cast<size_t>(step * 37 + unit)], expected, 1e-6);
        }
      }
    }
  }
}

// The step alone, with outputs that nobody wants.
TEST(Recurrent, EveryOutputIsOptional) {
  for (const RecurrentCell cell : kCells) {
    const SampleNode node =
        node_of(cell, {"outputs", 7, 3, 5, 37, 8, {{"direction", std::string("bidirectional")}}, 3});
    const std::vector<Tensor> expected = run_filled(node.node(), node.inputs, 0);
    std::vector<LowerContext::Port> inputs, outputs;
    for (const Tensor& input : node.inputs) {
      inputs.push_back(input ? LowerContext::Port{input.dtype(), input.dims(), Layout::kPlain, &input}
                             : LowerContext::Port{});
    }
    for (const Tensor& output : expected) outputs.push_back({output.dtype(), output.dims()});
    const auto step =
        op_table().get(name_of(cell)).lower(LowerContext(node.graph, node.node(), inputs, outputs, {}, 1));
    ASSERT_NE(step, nullptr);
    for (size_t wanted = 0; wanted < expected.size(); ++wanted) {
      SCOPED_TRACE(::testing::Message() << name_of(cell) << " output " << wanted);
      Tensor scratch = Tensor::allocate(DType::kUInt8, {static_cast<int64_t>(step->scratch_bytes())});
      Tensor result = Tensor::allocate(expected[wanted].dtype(), expected[wanted].dims());
      StepIo io{.outputs = std::vector<MutableView>(expected.size()), .scratch = scratch.mutable_data()};
      for (const Tensor& input : node.inputs) io.inputs.push_back(input ? input.view() : TensorView{});
      io.outputs[wanted] = result.mutable_view();
      step->bind(io)();
      EXPECT_TRUE(close(result, expected[wanted], 2e-5, 2e-6));
    }
  }
}

// What a change makes of a good lstm node: the error that its shape rule throws.
std::string refusal(const std::function<void(Sample&)>& change, ErrorCode code = ErrorCode::kInput) {
  Sample sample = recurrent_sample(RecurrentCell::kLstm, {"good", 4, 3, 5, 7, 8, {}, 3});
  change(sample);
  SampleNode node = make_sample_node(op_table().get("lstm"), sample);
  InferContext context = infer_context(node.node(), node.inputs);
  try {
    node.node().row->infer(context);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(error.where().node, "node");
    return error.message();
  }
  ADD_FAILURE() << "not refused";
  return {};
}

std::string refused_attr(const std::string& name, AttrValue value, ErrorCode code = ErrorCode::kInput) {
  return refusal([&](Sample& s) { s.attrs.set(name, value); }, code);
}

std::string refused_dims(size_t port, Dims dims) {
  return refusal([&](Sample& s) { s.inputs[port].dims = dims; });
}

TEST(Recurrent, RefusesExtentsThatDoNotFit) {
  EXPECT_NE(refused_dims(kX, {4, 3}).find("[4, 3]"), std::string::npos);
  EXPECT_NE(refused_dims(kX, {4, 3, 6}).find("weight"), std::string::npos);
  EXPECT_NE(refused_dims(kW, {1, 27, 5}).find("[1, 28, 5]"), std::string::npos);
  EXPECT_NE(refused_dims(kW, {2, 28, 5}).find("[1, 28, 5]"), std::string::npos);
  EXPECT_NE(refused_dims(kR, {1, 28, 6}).find("[1, 28, 7]"), std::string::npos);
  EXPECT_NE(refused_dims(kB, {1, 28}).find("[1, 56]"), std::string::npos);
  EXPECT_NE(refused_dims(kInitialH, {1, 2, 7}).find("initial_h"), std::string::npos);
  EXPECT_NE(refused_dims(kInitialC, {3, 7}).find("initial_c"), std::string::npos);
  EXPECT_NE(refused_dims(kPeephole, {1, 28}).find("[1, 21]"), std::string::npos);
  const auto lengths = [](std::vector<int32_t> values) {
    return [values](Sample& s) {
      s.inputs[kLengths] = fixed(Tensor::of<int32_t>({static_cast<int64_t>(values.size())}, values));
    };
  };
  EXPECT_NE(refusal(lengths({4, 4})).find("sequence_lens"), std::string::npos);
  EXPECT_NE(refusal(lengths({4, 5, 1})).find("a sequence of 5"), std::string::npos);
  EXPECT_NE(refusal(lengths({4, -1, 1})).find("a sequence of -1"), std::string::npos);
}

TEST(Recurrent, RefusesTypesAndAttributesThatMakeNoSense) {
  EXPECT_NE(refusal([](Sample& s) { s.inputs[kX].dtype = DType::kInt32; }).find("int32"), std::string::npos);
  EXPECT_NE(refusal([](Sample& s) { s.inputs[kR].dtype = DType::kFloat64; }).find("float64"), std::string::npos);
  EXPECT_NE(refusal([](Sample& s) { s.inputs[kLengths] = fixed_ints({4, 4, 4}); }).find("int32"), std::string::npos);
  EXPECT_NE(refused_attr("hidden_size", int64_t{0}).find("hidden_size 0"), std::string::npos);
  EXPECT_NE(refused_attr("hidden_size", int64_t{8}).find("[1, 32, 5]"), std::string::npos);
  EXPECT_NE(refused_attr("direction", std::string("up")).find("'up'"), std::string::npos);
  EXPECT_NE(refused_attr("direction", std::string("bidirectional")).find("weight"), std::string::npos);
  EXPECT_NE(refused_attr("layout", int64_t{2}).find("layout 2"), std::string::npos);
  EXPECT_NE(refused_attr("clip", 0.0).find("clip 0"), std::string::npos);
  const auto names = [](std::vector<std::string> values) { return values; };
  EXPECT_NE(refused_attr("activations", names({"Tanh", "Tanh"})).find("2 activations for 3"), std::string::npos);
  EXPECT_NE(refused_attr("activations", names({"Tanh", "Cosine", "Tanh"}), ErrorCode::kUnsupported).find("'Cosine'"),
            std::string::npos);
}

TEST(Recurrent, LengthsThatAreComputedAreCheckedWhenTheyCome) {
  Sample sample = recurrent_sample(RecurrentCell::kGru, {"lengths", 4, 3, 5, 7, 6, {}, 2, {4, 4, 4}});
  sample.inputs[kLengths].constant = false;
  SampleNode node = make_sample_node(op_table().get("gru"), sample);
  std::vector<Tensor> feeds = feeds_of(node);
  for (const bool compiled : {true, false}) {
    Session session(node.graph, {.compiled_kernels = compiled});
    for (Tensor& feed : feeds) {
      if (feed.dtype() == DType::kInt32) feed = Tensor::of<int32_t>({3}, {4, 2, 0});
    }
    EXPECT_NO_THROW(session.run(feeds));
    for (Tensor& feed : feeds) {
      if (feed.dtype() == DType::kInt32) feed = Tensor::of<int32_t>({3}, {4, 5, 0});
    }
    EXPECT_THROW(session.run(feeds), Error);
  }
}

TEST(Recurrent, NamesOfOpenAxesReachTheOutputs) {
  SampleNode node =
      make_sample_node(op_table().get("lstm"), recurrent_sample(RecurrentCell::kLstm, {"open", 4, 3, 5, 7, 4, {}, 3}));
  std::vector<InferContext::Input> inputs;
  for (const Tensor& input : node.inputs) inputs.push_back({true, input.type(), nullptr});
  inputs[kX].type.shape = Shape({Dim::named("T"), Dim::named("N"), Dim()});
  InferContext context(node.node(), inputs);
  node.node().row->infer(context);
  EXPECT_EQ(context.outputs()[kY].shape, Shape({Dim::named("T"), 1, Dim::named("N"), 7}));
  EXPECT_EQ(context.outputs()[kYc].shape, Shape({1, Dim::named("N"), 7}));
}

}  // namespace
}  // namespace amct::testing
