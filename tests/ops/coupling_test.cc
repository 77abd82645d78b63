// The coupling rule of every row, proven on its samples: a random channel of each relation is removed and the node runs
// again. Tied outputs must be the old ones without that channel, all other results unchanged; removing a contracted
// channel must equal zeroing it in the first reference.
//
// Where a constant or an attribute states extents, it has to change along: kAdaptations says how, operator by operator.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <random>
#include <set>

#include "support/each_sample.h"
#include "support/sample_node.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

// (side, port, axis) -> indices that go.
using Place = std::tuple<AxisRef::Side, size_t, size_t>;
using Removal = std::map<Place, std::set<int64_t>>;

const Dims& dims_at(const SampleNode& node, const std::vector<Tensor>& outputs, const AxisRef& ref) {
  return (ref.side == AxisRef::Side::kInput ? node.inputs : outputs)[ref.port].dims();
}

// The indices of one axis that channels [first, last) of a relation stand for.
std::set<int64_t> indices_of(const AxisRef& ref, int64_t extent, int64_t first, int64_t last) {
  std::set<int64_t> indices;
  const int64_t channels = extent / (ref.outer * ref.inner);
  for (int64_t o = 0; o < ref.outer; ++o) {
    for (int64_t c = first + ref.offset; c < last + ref.offset; ++c) {
      for (int64_t i = 0; i < ref.inner; ++i) indices.insert((o * channels + c) * ref.inner + i);
    }
  }
  return indices;
}

struct Case {
  const SampleNode& node;
  const std::vector<Tensor>& outputs;  // of the whole node
  const Removal& removal;
  std::vector<Tensor> inputs;    // reduced
  std::vector<Tensor> expected;  // reduced outputs
  Attrs attrs;

  bool removes(AxisRef::Side side, size_t port, size_t axis) const { return removal.contains({side, port, axis}); }
  std::vector<int64_t> ints(size_t port) const { return inputs[port].to_int64s(); }
  void set_ints(size_t port, const std::vector<int64_t>& values) {
    inputs[port] = Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
  }
};

void expected_dims_as_target(Case& c) { c.set_ints(1, c.expected[0].dims()); }

// The target states every extent, so that 0 means 0.
void adapt_reshape(Case& c) {
  c.set_ints(1, c.expected[0].dims());
  c.attrs.set("allowzero", int64_t{1});
}

// A whole group goes.
void adapt_group(Case& c) {
  const int64_t groups = c.attrs.get<int64_t>("group", 1);
  if (groups > 1 && c.removes(AxisRef::Side::kInput, 0, 1)) c.attrs.set("group", groups - 1);
}

void adapt_split(Case& c) {
  std::vector<int64_t> sizes;
  const auto axis = static_cast<size_t>(normalize_axis(c.attrs.get<int64_t>("axis", 0), c.outputs[0].rank()));
  for (const Tensor& output : c.expected) sizes.push_back(output.dims()[axis]);
  c.inputs.resize(2);
  c.set_ints(1, sizes);
  c.attrs.erase("num_outputs");
}

// Starts and ends move by the removed indices before them.
void adapt_slice(Case& c) {
  std::vector<int64_t> starts = c.ints(1);
  std::vector<int64_t> ends = c.ints(2);
  const auto rank = c.node.inputs[0].rank();
  for (size_t i = 0; i < starts.size(); ++i) {
    const int64_t named = c.inputs.size() > 3 && c.inputs[3] ? c.ints(3)[i] : static_cast<int64_t>(i);
    const auto axis = static_cast<size_t>(normalize_axis(named, rank));
    const auto removed = c.removal.find({AxisRef::Side::kInput, 0, axis});
    if (removed == c.removal.end()) continue;
    const int64_t extent = c.node.inputs[0].dims()[axis];
    for (std::vector<int64_t>* bounds : {&starts, &ends}) {
      const int64_t bound = (*bounds)[i];
      const int64_t clamped = std::clamp<int64_t>(bound < 0 ? bound + extent : bound, 0, extent);
      const auto& gone = removed->second;
      (*bounds)[i] = clamped - std::distance(gone.begin(), gone.lower_bound(clamped));
    }
  }
  c.set_ints(1, starts);
  c.set_ints(2, ends);
}

// Target sizes of axes that lose channels.
void adapt_resize(Case& c) {
  if (c.inputs.size() < 4 || !c.inputs[3]) return;
  std::vector<int64_t> sizes = c.ints(3);
  const auto axes = c.attrs.get<std::vector<int64_t>>("axes", {});
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t named = axes.empty() ? static_cast<int64_t>(i) : axes[i];
    const auto axis = static_cast<size_t>(normalize_axis(named, c.outputs[0].rank()));
    if (c.removes(AxisRef::Side::kOutput, 0, axis)) sizes[i] = c.expected[0].dims()[axis];
  }
  c.set_ints(3, sizes);
}

using Adapt = void (*)(Case&);
const std::map<std::string, Adapt> kAdaptations = {
    {"reshape", adapt_reshape}, {"expand", expected_dims_as_target}, {"split", adapt_split},
    {"conv", adapt_group},      {"conv_transpose", adapt_group},     {"slice", adapt_slice},
    {"resize", adapt_resize},
};

struct Tally {
  int tie = 0, free = 0, group = 0, lock = 0, single = 0;
};

void reduce(Case& c) {
  for (const auto& [place, indices] : c.removal) {
    const auto& [side, port, axis] = place;
    Tensor& tensor = side == AxisRef::Side::kInput ? c.inputs[port] : c.expected[port];
    tensor = without(tensor, axis, indices);
  }
}

std::vector<Tensor> run_reduced(const Case& c, std::vector<bool> constant) {
  constant.resize(c.inputs.size(), true);
  NodeId id;
  const Node& node = c.node.node();
  const Graph graph = graph_of_node(*node.row, c.inputs, constant, c.attrs, node.outputs.size(), &id);
  return run_filled(graph.node(id), c.inputs, 0);
}

void prove(const AxisRelation& relation, const SampleNode& node, const std::vector<bool>& constant,
           const std::vector<Tensor>& outputs, std::mt19937_64& random, Tally& tally) {
  if (relation.kind == AxisRelation::Kind::kLock) {
    ++tally.lock;
    EXPECT_FALSE(relation.reason.empty());
    return;
  }
  const bool grouped = relation.kind == AxisRelation::Kind::kGroup;
  const int64_t units = grouped ? relation.groups : relation.channels;
  ASSERT_FALSE(relation.refs.empty());
  if (units < 2) {
    ++tally.single;
    return;
  }
  const int64_t run = grouped ? relation.channels / relation.groups : 1;
  const int64_t unit = std::uniform_int_distribution<int64_t>(0, units - 1)(random);
  Removal removal;
  for (const AxisRef& ref : relation.refs) {
    const Dims& dims = dims_at(node, outputs, ref);
    ASSERT_LT(ref.axis, dims.size());
    ASSERT_EQ(dims[ref.axis] % (ref.outer * ref.inner), 0);
    ASSERT_LE((ref.offset + relation.channels) * ref.outer * ref.inner, dims[ref.axis]);
    removal[{ref.side, ref.port, ref.axis}].merge(indices_of(ref, dims[ref.axis], unit * run, (unit + 1) * run));
  }
  Case c{node, outputs, removal, node.inputs, outputs, node.node().attrs};
  if (relation.kind == AxisRelation::Kind::kFree) {
    const AxisRef& first = relation.refs[0];
    std::vector<Tensor> inputs = node.inputs;
    inputs[first.port] = zeroed(inputs[first.port], first.axis, removal.at({first.side, first.port, first.axis}));
    c.expected = run_filled(node.node(), inputs, 0);
  }
  reduce(c);
  if (const auto adapt = kAdaptations.find(node.node().op); adapt != kAdaptations.end()) adapt->second(c);
  const std::vector<Tensor> reduced = run_reduced(c, constant);
  for (size_t port = 0; port < reduced.size(); ++port) {
    if (!node.node().outputs[port].valid()) continue;
    EXPECT_TRUE(close(reduced[port], c.expected[port], 1e-4, 1e-5)) << "output " << port << " without channel " << unit;
  }
  ++(relation.kind == AxisRelation::Kind::kTie ? tally.tie : grouped ? tally.group : tally.free);
}

std::string describe(const AxisRelation& relation) {
  std::string text = fmt::format("{} channels:", relation.channels);
  for (const AxisRef& ref : relation.refs) {
    text += fmt::format(" {}{}.{} (outer {}, inner {}, offset {})", ref.side == AxisRef::Side::kInput ? "in" : "out",
                        ref.port, ref.axis, ref.outer, ref.inner, ref.offset);
  }
  return text;
}

TEST(Coupling, EveryRelationHolds) {
  const uint64_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  std::map<std::string, Tally> tallies;
  for_each_sample([&](const OpRow& row, const Sample& sample, SampleNode& node) {
    if (row.run == nullptr) return;
    const std::vector<Tensor> outputs = run_filled(node.node(), node.inputs, 0);
    std::vector<Dims> input_dims, output_dims;
    for (const Tensor& input : node.inputs) input_dims.push_back(input ? input.dims() : Dims());
    for (const Tensor& output : outputs) output_dims.push_back(output ? output.dims() : Dims());
    for (const AxisRelation& relation : row.axes(AxesContext(node.graph, node.node(), input_dims, output_dims))) {
      SCOPED_TRACE(describe(relation));
      try {
        prove(relation, node, constant_ports(sample), outputs, random, tallies[row.name]);
      } catch (const std::exception& error) {
        ADD_FAILURE() << error.what();
      }
    }
  });
  Tally total;
  std::string without_relations;
  for (const OpRow& row : op_table().rows()) {
    const Tally& t = tallies[row.name];
    total.tie += t.tie, total.free += t.free, total.group += t.group, total.lock += t.lock, total.single += t.single;
    if (t.tie + t.free + t.group + t.lock == 0) without_relations += " " + row.name;
  }
  std::printf("proven: %d ties, %d contractions, %d groups; %d locks; %d relations of one channel\n", total.tie,
              total.free, total.group, total.lock, total.single);
  std::printf("rows that couple nothing:%s\n", without_relations.c_str());
  EXPECT_GT(total.tie, 300);
}

}  // namespace
}  // namespace amct::testing
