// Every sample of every row with one thing changed that a file could change: the type or the extents of an input, the
// numbers in a constant, the value of an attribute. Each is run, by the plain kernel and compiled, or refused with an
// error that is the file's fault, not ours. Under the sanitizers nothing else may happen either.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "base/memory_limit.h"
#include "exec/session.h"
#include "ops/verify_ops.h"
#include "support/each_sample.h"
#include "support/errors.h"
#include "support/sample_node.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr int64_t kSmall = std::numeric_limits<int64_t>::min();

struct Attempts {
  int run = 0, refused = 0;
};

void attempt(const OpRow& row, const SampleNode& node, const std::vector<Tensor>& inputs,
             const std::vector<bool>& constant, const Attrs& attrs, Attempts& attempts) {
  try {
    NodeId id;
    SampleNode changed{
        node.title, graph_of_node(row, inputs, constant, attrs, node.node().outputs.size(), &id), {}, inputs};
    changed.id = id;
    if (!check_schema(changed.node()).empty()) {
      ++attempts.refused;
      return;
    }
    const std::vector<Tensor> feeds = feeds_of(changed);
    for (const bool compiled : {false, true}) {
      CompileOptions options{.threads = 1};
      options.compiled_kernels = compiled;
      Session(changed.graph, options).run(feeds);
    }
    ++attempts.run;
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    ++attempts.refused;
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

// Calls `f(description, tensor)` for forms that an input could have instead.
using TensorFn = std::function<void(const std::string&, Tensor)>;

// random_tensor knows no 8-bit floats.
bool can_be_drawn(DType dtype) { return !is_floating(dtype) || bit_width(dtype) >= 16; }

void for_each_type(const Tensor& input, const TensorFn& f) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kInt64, DType::kInt32,
                            DType::kInt8, DType::kUInt8, DType::kUInt64, DType::kBool}) {
    if (dtype == input.dtype()) continue;
    std::mt19937_64 random(1);
    f(fmt::format("type {}", name_of(dtype)), random_tensor(dtype, input.dims(), 0, 2, random));
  }
}

void for_each_shape(const Tensor& input, const TensorFn& f) {
  if (!can_be_drawn(input.dtype())) return;
  const Dims& dims = input.dims();
  std::vector<Dims> others{{}, {0}, {1}, {2, 3, 1, 2, 1, 2}};
  if (!dims.empty()) {
    others.emplace_back(dims.begin() + 1, dims.end());
    others.emplace_back(dims.begin(), dims.end() - 1);
    others.emplace_back(dims.rbegin(), dims.rend());
  }
  Dims longer = dims;
  longer.insert(longer.begin(), 1);
  others.push_back(std::move(longer));
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    for (const int64_t extent : {int64_t{0}, int64_t{1}, dims[axis] + 1, dims[axis] * 2}) {
      others.push_back(dims);
      others.back()[axis] = extent;
    }
  }
  for (const Dims& extents : others) {
    if (extents == dims) continue;
    std::mt19937_64 random(1);
    f(fmt::format("extents {}", to_string(extents)), random_tensor(input.dtype(), extents, 0, 2, random));
  }
}

void for_each_number(const Tensor& input, const TensorFn& f) {
  const bool wide = input.dtype() == DType::kInt64;
  if (!wide && input.dtype() != DType::kInt32) return;
  for (int64_t at = 0; at < std::min<int64_t>(input.size(), 3); ++at) {
    for (const int64_t number : {kSmall, int64_t{-1000}, int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{1000}, kHuge}) {
      Tensor changed = Tensor::copy_of(input.view());
      if (wide) {
        changed.mutable_values<int64_t>()[static_cast<size_t>(at)] = number;
      } else {
        changed.mutable_values<int32_t>()[static_cast<size_t>(at)] = static_cast<int32_t>(number);
      }
      f(fmt::format("element {} is {}", at, number), std::move(changed));
    }
  }
}

std::vector<AttrValue> other_values(const AttrSpec& attr, const AttrValue* value) {
  switch (attr.type) {
    case AttrType::kInt:
      return {kSmall, int64_t{-3}, int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{2}, int64_t{77}, kHuge};
    case AttrType::kFloat: return {0.0, -1.0, 1e30, std::numeric_limits<double>::quiet_NaN()};
    case AttrType::kString: return {std::string(), std::string("nonsense")};
    case AttrType::kInts: break;
    default: return {};
  }
  using Ints = std::vector<int64_t>;
  const Ints* given = value != nullptr ? std::get_if<Ints>(value) : nullptr;
  std::vector<AttrValue> others{Ints{}, Ints{0}, Ints{-1, 2}, Ints{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
  for (size_t at = 0; given != nullptr && at < given->size(); ++at) {
    for (const int64_t number : {kSmall, int64_t{-2}, int64_t{0}, int64_t{1000}, kHuge}) {
      Ints changed = *given;
      changed[at] = number;
      others.emplace_back(std::move(changed));
    }
  }
  return others;
}

// What a changed number asks for must not fill the memory of the machine.
struct LimitedMemory {
  LimitedMemory() { set_memory_limit(1 << 28); }
  ~LimitedMemory() { set_memory_limit(0); }
};

template <typename ForEach>
void change_inputs(const ForEach& for_each) {
  const LimitedMemory limit;
  Attempts attempts;
  for_each_sample([&](const OpRow& row, const Sample& sample, SampleNode& node) {
    if (row.run == nullptr) return;
    for (size_t port = 0; port < node.inputs.size(); ++port) {
      if (!node.inputs[port]) continue;
      for_each(node.inputs[port], [&](const std::string& what, Tensor changed) {
        SCOPED_TRACE(fmt::format("input {}: {}", port, what));
        std::vector<Tensor> inputs = node.inputs;
        inputs[port] = std::move(changed);
        attempt(row, node, inputs, constant_ports(sample), sample.attrs, attempts);
      });
    }
  });
  ::testing::Test::RecordProperty("run", attempts.run);
  ::testing::Test::RecordProperty("refused", attempts.refused);
  EXPECT_GT(attempts.run, 100);
  EXPECT_GT(attempts.refused, 100);
}

TEST(HostileNodes, TypesOfInputs) { change_inputs(for_each_type); }
TEST(HostileNodes, ExtentsOfInputs) { change_inputs(for_each_shape); }
TEST(HostileNodes, NumbersInInputs) { change_inputs(for_each_number); }

TEST(HostileNodes, Attributes) {
  const LimitedMemory limit;
  Attempts attempts;
  for_each_sample([&](const OpRow& row, const Sample& sample, SampleNode& node) {
    if (row.run == nullptr) return;
    for (const AttrSpec& attr : row.attrs) {
      int index = 0;
      for (AttrValue& value : other_values(attr, sample.attrs.find(attr.name))) {
        SCOPED_TRACE(fmt::format("attribute {}, value {}", attr.name, index++));
        Attrs attrs = sample.attrs;
        attrs.set(attr.name, std::move(value));
        attempt(row, node, node.inputs, constant_ports(sample), attrs, attempts);
      }
    }
  });
  ::testing::Test::RecordProperty("run", attempts.run);
  ::testing::Test::RecordProperty("refused", attempts.refused);
  EXPECT_GT(attempts.run, 100);
  EXPECT_GT(attempts.refused, 100);
}

// Their kernels copy bytes, so many for each element of the output.
TEST(HostileNodes, WhatIsCopiedHasTheTypeOfTheResult) {
  const auto infer = [](const std::string& row, std::vector<TensorType> types, const Attrs& attrs) {
    Graph graph;
    std::vector<ValueId> inputs;
    for (TensorType& type : types)
      inputs.push_back(graph.add_input(fmt::format("in{}", inputs.size()), std::move(type)));
    const NodeId node = graph.add_node("node", row, op_table().find(row), inputs, {"y"}, attrs);
    graph.set_outputs(graph.node(node).outputs);
    infer_types(graph);
  };
  const TensorType wide{DType::kFloat64, Shape::of({3, 5})}, narrow{DType::kUInt8, Shape::of({3, 5})};
  const TensorType rows{DType::kInt64, Shape::of({3, 1})}, places{DType::kInt64, Shape::of({3, 5})};
  EXPECT_ERROR(infer("concat", {wide, narrow}, {{"axis", int64_t{0}}}), "inputs 0 and 1 have different types");
  EXPECT_ERROR(infer("scatter_nd", {wide, rows, narrow}, {}), "inputs 0 and 2 have different types: float64 and uint8");
  EXPECT_ERROR(infer("scatter_elements", {wide, places, narrow}, {}), "inputs 0 and 2 have different types");
  infer("scatter_elements", {wide, places, wide}, {});
}

// Sizes in bytes would overflow, and what is written would lie behind what was allocated.
TEST(HostileNodes, ExtentsThatNoMemoryHolds) {
  constexpr int64_t kLarge = int64_t{1} << 30;
  Graph declared;
  const ValueId x = declared.add_input("x", {DType::kFloat32, Shape::of({kLarge, kLarge})});
  declared.set_outputs({x});
  EXPECT_ERROR(infer_types(declared), "value 'x' would have shape [1073741824, 1073741824], which no memory holds");

  Graph computed;
  const ValueId target = computed.add_constant("target", Tensor::of<int64_t>({3}, {kLarge, 0, kHuge}));
  const ValueId small = computed.add_input("small", {DType::kFloat32, Shape::of({1})});
  const NodeId node = computed.add_node("node", "expand", op_table().find("expand"), {small, target}, {"wide"}, {});
  computed.set_outputs(computed.node(node).outputs);
  EXPECT_ERROR(infer_types(computed), "value 'wide' would have shape");

  const auto types = infer_types(declared, {{x, {DType::kFloat32, Shape({Dim(kLarge), Dim()})}}});  // may be empty
  EXPECT_EQ(types.types[x.index].shape.rank(), 2u);
}

}  // namespace
}  // namespace amct::testing
