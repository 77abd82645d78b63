// The row of an operator: everything amct knows about it, in one place.
//
// Every analysis reads rows and names no operator: shape inference, execution, quantization, channel coupling, cost,
// import and export. One file of src/ops holds one operator or one homogeneous family; adding an operator touches that
// file alone (docs/howto/add-an-operator.md). Semantics follow the newest version of the ONNX standard, under its names
// in lower_snake_case; older versions are normalised on import and restored on export.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ops/axes.h"
#include "ops/infer.h"
#include "ops/lower.h"
#include "ops/quant_rule.h"
#include "ops/run.h"
#include "ops/sample.h"
#include "ops/spelling.h"

namespace amct {

// What an input port carries; passes ask for roles instead of counting ports.
enum class Role {
  kActivation,  // data that flows
  kWeight,      // the learned operand, (out, in / group, spatial…)
  kBias,        // added per output channel
  kParameter,   // other learned or fixed numbers: batch-norm statistics, slopes, scales, zero points
  kShape,       // integers that decide shapes or indices: target shapes, axes, pads, starts
};

struct InputPort {
  std::string name;
  Role role = Role::kActivation;
  bool optional = false;
  bool variadic = false;    // the last port only: one or more inputs
  bool broadcasts = false;  // a kParameter that broadcasts against the activation (slope of PRelu): follows its layout
};

struct OutputPort {
  std::string name;
  bool optional = false;
  bool variadic = false;
};

enum class AttrType { kInt, kFloat, kString, kInts, kFloats, kStrings, kTensor, kGraph };

struct AttrSpec {
  std::string name;
  AttrType type;
  AttrValue fallback = std::string();  // value when the attribute is not set; meaningless if `required`
  bool required = false;
  bool absent_is_meaningful = false;  // no default value: the row asks attrs.has()
};

AttrSpec int_attr(std::string name, int64_t fallback);
AttrSpec float_attr(std::string name, double fallback);
AttrSpec string_attr(std::string name, std::string fallback);
AttrSpec ints_attr(std::string name, std::vector<int64_t> fallback = {});
AttrSpec required_attr(std::string name, AttrType type);
AttrSpec optional_attr(std::string name, AttrType type);

// When the output shapes can be known.
enum class ShapeTiming {
  kFromShapes,  // from input shapes and attributes
  kFromValues,  // also from the values of inputs in the role kShape (Reshape's target, Slice's starts)
  kFromData,    // only after running (NonZero): the executor cuts its program there
  kFromBody,    // from what is in the subgraphs: as kFromShapes where `infer` gives fixed shapes, else as kFromData
};

// Multiply-accumulates and other operations of one node with fixed shapes, for reports and budgets.
struct Cost {
  int64_t macs = 0;
};
using CostFn = Cost (*)(const CostContext&);
Cost cost_free(const CostContext&);  // moves data or does a few operations an element

struct OpRow {
  std::string name;  // lower_snake_case
  std::string doc;   // one sentence
  std::vector<InputPort> inputs;
  std::vector<OutputPort> outputs;
  std::vector<AttrSpec> attrs = {};

  InferFn infer;  // required
  ShapeTiming timing = ShapeTiming::kFromShapes;
  // The value of output 0 where it follows from the input types alone (Shape, Size); null for all other rows.
  std::optional<Tensor> (*value_from_types)(const InferContext&) = nullptr;
  RunFn run = nullptr;      // plain kernel on memory elements; required unless `lower` is set
  LowerFn lower = nullptr;  // a compiled step; falls back to `run` where it returns null
  LayoutRule layout = LayoutRule::kPlain;
  AbsorbFn absorb_into = nullptr;  // how a compute step may take this node in as an epilogue
  bool in_place = false;           // output 0 may overwrite input 0 (same type and extents)
  bool deterministic = true;       // false: random numbers; never folded or merged
  QuantRule quant;                 // required (no default constructor)
  AxesFn axes;                     // required: which axes are coupled
  CostFn cost = cost_free;
  std::vector<Spelling> spellings = {};  // foreign names, for import and export
  SamplesFn samples;                     // required: feeds the conformance test

  const AttrSpec* attr(std::string_view attr_name) const;
  // The port that input number `index` belongs to (a variadic last port takes all that follow); null past the end.
  const InputPort* input_port(size_t index) const;
};

// Attribute readers that fall back on the row's default.
int64_t attr_int(const Node& node, std::string_view name);
double attr_float(const Node& node, std::string_view name);
std::string attr_string(const Node& node, std::string_view name);
std::vector<int64_t> attr_ints(const Node& node, std::string_view name);
std::vector<double> attr_floats(const Node& node, std::string_view name);

// An axis attribute as 0 <= axis < rank (or <= rank with `allow_end`). Throws Error(kInput) when out of range.
int64_t normalize_axis(int64_t axis, size_t rank, bool allow_end = false);

class OpTable {
 public:
  void add(OpRow row);  // throws an internal error on a repeated name or an incomplete row
  const OpRow* find(std::string_view name) const;
  const OpRow& get(std::string_view name) const;  // internal error if there is none: for names in our own code
  const std::deque<OpRow>& rows() const { return rows_; }
  // The spelling of `type` in `framework` that holds at `version` of `domain`, with its row; nullptrs if none.
  struct Match {
    const OpRow* row = nullptr;
    const Spelling* spelling = nullptr;
  };
  Match match(Framework framework, std::string_view domain, std::string_view type, int64_t version) const;
  // True if some row knows the type at any version: distinguishes "unknown operator" from "unknown version".
  bool knows(Framework framework, std::string_view domain, std::string_view type) const;

 private:
  std::deque<OpRow> rows_;
  std::unordered_map<std::string, const OpRow*> by_name_;
  std::unordered_multimap<std::string, Match> by_spelling_;
};

// The table of all rows, built on first use from the files of src/ops (list generated at configure time).
const OpTable& op_table();

// Adds a node of a known operator; the first output is named after the node unless `output` is given.
NodeId add_op(Graph& graph, std::string_view name, std::string_view op, std::vector<ValueId> inputs, Attrs attrs = {},
              std::string_view output = {});

}  // namespace amct
