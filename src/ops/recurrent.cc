#include "ops/recurrent.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>

namespace amct {
namespace {

using namespace recurrent;

struct KindRow {
  const char* name;
  GateKind kind;
  int parameters;  // how many of alpha, beta it takes
  float alpha, beta;
};
constexpr std::array kKinds = {
    KindRow{"Sigmoid", GateKind::kSigmoid, 0, 0, 0},
    KindRow{"Tanh", GateKind::kTanh, 0, 0, 0},
    KindRow{"Relu", GateKind::kRelu, 0, 0, 0},
    KindRow{"Affine", GateKind::kAffine, 2, 1, 0},
    KindRow{"LeakyRelu", GateKind::kLeakyRelu, 1, 0.01f, 0},
    KindRow{"ThresholdedRelu", GateKind::kThresholdedRelu, 1, 1, 0},
    KindRow{"ScaledTanh", GateKind::kScaledTanh, 2, 1, 1},
    KindRow{"HardSigmoid", GateKind::kHardSigmoid, 2, 0.2f, 0.5f},
    KindRow{"Elu", GateKind::kElu, 1, 1, 0},
    KindRow{"Softsign", GateKind::kSoftsign, 0, 0, 0},
    KindRow{"Softplus", GateKind::kSoftplus, 0, 0, 0},
};

struct CellRow {
  int64_t gates;
  std::vector<std::string> functions;  // the defaults of one direction
};
const CellRow& row_of(RecurrentCell cell) {
  static const CellRow rnn{1, {"Tanh"}}, gru{3, {"Sigmoid", "Tanh"}}, lstm{4, {"Sigmoid", "Tanh", "Tanh"}};
  return cell == RecurrentCell::kRnn ? rnn : cell == RecurrentCell::kGru ? gru : lstm;
}

[[noreturn]] void fault(const Node& node, std::string message, ErrorCode code = ErrorCode::kInput) {
  throw Error(code, std::move(message), {.node = node.name, .op = node.op});
}

int64_t directions_of(const Node& node) {
  const std::string direction = attr_string(node, "direction");
  if (direction == "bidirectional") return 2;
  if (direction != "forward" && direction != "reverse") {
    fault(node, fmt::format("direction '{}' is not forward, reverse or bidirectional", direction));
  }
  return 1;
}

bool is_batch_first(const Node& node) {
  const int64_t layout = attr_int(node, "layout");
  if (layout != 0 && layout != 1) fault(node, fmt::format("layout {} is not 0 or 1", layout));
  return layout == 1;
}

// Names may be in any case. Functions take the next of the listed alphas and betas if they have such a parameter, and
// their default when the list has ended.
std::vector<GateFunction> functions_of(const Node& node, RecurrentCell cell) {
  const CellRow& row = row_of(cell);
  const auto directions = static_cast<size_t>(directions_of(node));
  auto names = node.attrs.get<std::vector<std::string>>("activations", {});
  if (names.empty()) {
    for (size_t i = 0; i < directions; ++i) names.insert(names.end(), row.functions.begin(), row.functions.end());
  }
  // The standard's default for the plain cell has two names, whatever the direction.
  const size_t wanted = directions * row.functions.size();
  if (names.size() != wanted && !(cell == RecurrentCell::kRnn && names.size() > wanted)) {
    fault(node, fmt::format("{} activations for {} gate functions", names.size(), wanted));
  }
  names.resize(wanted);
  const std::vector<double> alphas = attr_floats(node, "activation_alpha");
  const std::vector<double> betas = attr_floats(node, "activation_beta");
  size_t alpha = 0, beta = 0;
  std::vector<GateFunction> functions;
  for (const std::string& name : names) {
    const auto same = [&](const KindRow& kind) {
      return std::ranges::equal(name, std::string_view(kind.name),
                                [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
    };
    const auto kind = std::find_if(kKinds.begin(), kKinds.end(), same);
    if (kind == kKinds.end()) {
      fault(node, fmt::format("activation function '{}' is not known", name), ErrorCode::kUnsupported);
    }
    GateFunction function{kind->kind, kind->alpha, kind->beta};
    if (kind->parameters > 0 && alpha < alphas.size()) function.alpha = static_cast<float>(alphas[alpha++]);
    if (kind->parameters > 1 && beta < betas.size()) function.beta = static_cast<float>(betas[beta++]);
    functions.push_back(function);
  }
  return functions;
}

double clip_of(const Node& node) {
  if (!node.attrs.has("clip")) return std::numeric_limits<double>::infinity();
  const double clip = attr_float(node, "clip");
  if (!(clip > 0)) fault(node, fmt::format("clip {} is not above 0", clip));
  return clip;
}

// Checks input `port` against `expected`, in which unknown extents fit everything.
void expect_shape(const InferContext& c, size_t port, const char* what, const std::vector<Dim>& expected) {
  if (!c.has(port) || !c.shape(port).ranked()) return;
  const Shape& shape = c.shape(port);
  bool fits = shape.rank() == expected.size();
  for (size_t axis = 0; fits && axis < expected.size(); ++axis) {
    fits = !shape[axis].is_fixed() || !expected[axis].is_fixed() || shape[axis] == expected[axis];
  }
  if (!fits) {
    c.fail(fmt::format("{} has shape {} where {} is needed", what, shape.to_string(), Shape(expected).to_string()));
  }
}

Dim axis_of(const InferContext& c, size_t port, size_t axis) {
  return c.has(port) && c.shape(port).ranked() && axis < c.shape(port).rank() ? c.shape(port)[axis] : Dim();
}

// What is known best of one extent.
Dim best_of(std::initializer_list<Dim> dims) {
  Dim best;
  for (const Dim& dim : dims) {
    if (dim.is_fixed()) return dim;
    if (best.is_unknown()) best = dim;
  }
  return best;
}

// All inputs but the lengths have one floating type.
void check_types(const InferContext& c) {
  const DType dtype = c.dtype(kX);
  if (dtype != DType::kUndefined && (!is_floating(dtype) || bit_width(dtype) < 16)) {
    c.fail(fmt::format("its input has type {}; floating point is needed", name_of(dtype)));
  }
  for (size_t port = 1; port < c.input_count(); ++port) {
    if (!c.has(port) || c.dtype(port) == DType::kUndefined) continue;
    const DType needed = port == kLengths ? DType::kInt32 : dtype;
    if (needed != DType::kUndefined && c.dtype(port) != needed) {
      c.fail(fmt::format("input '{}' has type {} where {} is needed", c.node().row->inputs[port].name,
                         name_of(c.dtype(port)), name_of(needed)));
    }
  }
}

Dim times(int64_t factor, const Dim& dim) { return dim.is_fixed() ? Dim(factor * dim.extent()) : Dim(); }

void check_lengths(const InferContext& c, const Dim& steps) {
  const auto lengths = c.has(kLengths) ? c.ints(kLengths) : std::nullopt;
  if (!lengths || !steps.is_fixed()) return;
  for (const int64_t length : *lengths) {
    if (length < 0 || length > steps.extent()) {
      c.fail(fmt::format("a sequence of {} does not fit {} steps", length, steps.extent()));
    }
  }
}

}  // namespace

Recurrence recurrence_of(const Node& node, RecurrentCell cell, const Dims& x, const Dims& r) {
  Recurrence result{.cell = cell, .gates = row_of(cell).gates};
  result.functions_each = static_cast<int64_t>(row_of(cell).functions.size());
  result.batch_first = is_batch_first(node);
  result.steps = x[result.batch_first ? 1 : 0];
  result.batch = x[result.batch_first ? 0 : 1];
  result.inputs = x[2];
  result.hidden = r[2];
  result.directions = directions_of(node);
  result.reverse = attr_string(node, "direction") == "reverse";
  result.input_forget = cell == RecurrentCell::kLstm && attr_int(node, "input_forget") != 0;
  result.linear_before_reset = cell == RecurrentCell::kGru && attr_int(node, "linear_before_reset") != 0;
  result.clip = clip_of(node);
  result.functions = functions_of(node, cell);
  return result;
}

void infer_recurrent(InferContext& c, RecurrentCell cell) {
  check_types(c);
  const int64_t gates = row_of(cell).gates;
  const bool batch_first = is_batch_first(c.node());
  const Dim directions = directions_of(c.node());
  functions_of(c.node(), cell);
  clip_of(c.node());
  const int64_t stated = attr_int(c.node(), "hidden_size");
  if (c.node().attrs.has("hidden_size") && (stated < 1 || stated > INT32_MAX)) {
    c.fail(fmt::format("hidden_size {} is not in 1 to {}", stated, INT32_MAX));
  }
  const Dim rows = axis_of(c, kW, 1);
  const Dim from_rows = rows.is_fixed() && rows.extent() % gates == 0 ? Dim(rows.extent() / gates) : Dim();
  const Dim hidden = best_of({stated > 0 ? Dim(stated) : Dim(), axis_of(c, kR, 2), from_rows});
  const size_t batch_axis = batch_first ? 0 : 1;
  const Dim steps = axis_of(c, kX, 1 - batch_axis);
  const Dim batch = best_of({axis_of(c, kX, batch_axis), axis_of(c, kLengths, 0), axis_of(c, kInitialH, batch_axis),
                             axis_of(c, kInitialC, batch_axis)});
  const Dim inputs = best_of({axis_of(c, kX, 2), axis_of(c, kW, 2)});
  const auto state = [&](const Dim& last) {
    return batch_first ? std::vector<Dim>{batch, directions, last} : std::vector<Dim>{directions, batch, last};
  };
  expect_shape(c, kX, "its input",
               batch_first ? std::vector<Dim>{batch, steps, inputs} : std::vector<Dim>{steps, batch, inputs});
  expect_shape(c, kW, "its weight", {directions, times(gates, hidden), inputs});
  expect_shape(c, kR, "its recurrent weight", {directions, times(gates, hidden), hidden});
  expect_shape(c, kB, "its bias", {directions, times(2 * gates, hidden)});
  expect_shape(c, kLengths, "sequence_lens", {batch});
  expect_shape(c, kInitialH, "initial_h", state(hidden));
  expect_shape(c, kInitialC, "initial_c", state(hidden));
  expect_shape(c, kPeephole, "its peephole weight", {directions, times(3, hidden)});
  check_lengths(c, steps);
  c.set_output(kY, c.dtype(kX),
               Shape(batch_first ? std::vector<Dim>{batch, steps, directions, hidden}
                                 : std::vector<Dim>{steps, directions, batch, hidden}));
  c.set_output(kYh, c.dtype(kX), Shape(state(hidden)));
  c.set_output(kYc, c.dtype(kX), Shape(state(hidden)));
}

namespace {

// Samples do not see each other, and features of the input are contracted. A hidden unit cannot go alone: it feeds all
// others.
std::vector<AxisRelation> axes_recurrent(const AxesContext& c) {
  const bool batch_first = is_batch_first(c.node());
  const size_t batch_axis = batch_first ? 0 : 1;
  std::vector<AxisRelation> relations{free_axis(c.input(kX)[2], {in_axis(kW, 2), in_axis(kX, 2)})};
  AxisRelation batch = tie(c.input(kX)[batch_axis], {in_axis(kX, batch_axis)});
  if (c.has(kLengths)) batch.refs.push_back(in_axis(kLengths, 0));
  for (const size_t port : {kInitialH, kInitialC}) {
    if (c.has(port)) batch.refs.push_back(in_axis(port, batch_axis));
  }
  for (size_t port = 0; port < c.node().outputs.size(); ++port) {
    if (!c.node().output(port).valid()) continue;
    const size_t axis = batch_first ? 0 : port == kY ? 2 : 1;
    batch.refs.push_back(out_axis(port, axis));
    relations.push_back(lock(out_axis(port, c.output(port).size() - 1), "hidden units feed each other"));
  }
  relations.push_back(std::move(batch));
  relations.push_back(lock(in_axis(kX, 1 - batch_axis), "steps follow each other"));
  for (const size_t port : {kInitialH, kInitialC}) {
    if (c.has(port)) relations.push_back(lock(in_axis(port, 2), "hidden units feed each other"));
  }
  return relations;
}

Cost cost_recurrent(const CostContext& c) {
  const Dims& w = c.input(kW);
  return {c.input(kX)[0] * c.input(kX)[1] * w[0] * w[1] * (w[2] + c.input(kR)[2])};
}

void import_recurrent(ImportContext& c) {
  Attrs attrs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (name == "output_sequence") continue;  // version 1: y is there or not
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
    attrs.set(name, value);
  }
  c.add(c.foreign().inputs, std::move(attrs));
}

void export_recurrent(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  if (c.version() < 14) {
    if (attr_int(c.node(), "layout") != 0) c.unsupported("a recurrent operator with layout 1 needs opset 14");
    attrs.erase("layout");
  }
  if (c.version() < 3 && c.node().row->attr("linear_before_reset") != nullptr) {
    if (attr_int(c.node(), "linear_before_reset") != 0) c.unsupported("linear_before_reset needs opset 3");
    attrs.erase("linear_before_reset");
  }
  if (c.version() < 7) attrs.set("output_sequence", int64_t{c.node().output(kY).valid()});
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  c.emit(std::move(inputs), std::move(attrs));
}

}  // namespace

std::vector<Spelling> recurrent_spellings(const std::string& type) {
  return {onnx(type, 1, kAllVersions, import_recurrent, export_recurrent)};
}

OpRow recurrent_row(RecurrentCell cell) {
  const auto optional = [](const char* name, Role role) {
    return InputPort{.name = name, .role = role, .optional = true};
  };
  const auto optional_output = [](const char* name) { return OutputPort{.name = name, .optional = true}; };
  OpRow row{
      .inputs = {{"x"},
                 {"w", Role::kWeight},
                 {"r", Role::kWeight},
                 optional("b", Role::kBias),
                 optional("sequence_lens", Role::kParameter),
                 optional("initial_h", Role::kActivation)},
      .outputs = {optional_output("y"), optional_output("y_h")},
      .attrs = {optional_attr("hidden_size", AttrType::kInt), string_attr("direction", "forward"),
                int_attr("layout", 0), optional_attr("activations", AttrType::kStrings),
                AttrSpec{"activation_alpha", AttrType::kFloats, std::vector<double>{}},
                AttrSpec{"activation_beta", AttrType::kFloats, std::vector<double>{}},
                optional_attr("clip", AttrType::kFloat)},
      .infer = nullptr,
      .quant = cell == RecurrentCell::kRnn
                   ? QuantRule::keep_float("a recurrent layer without gates has no integer form")
                   : QuantRule::compute({.weight_port = kW,
                                         .recurrent_port = kR,
                                         .channel_axis = 1,
                                         .per_channel = true,
                                         .check = check_recurrent}),
      .axes = axes_recurrent,
      .cost = cost_recurrent,
  };
  if (cell == RecurrentCell::kGru) row.attrs.push_back(int_attr("linear_before_reset", 0));
  if (cell == RecurrentCell::kLstm) {
    row.inputs.push_back(optional("initial_c", Role::kActivation));
    row.inputs.push_back(optional("p", Role::kParameter));
    row.outputs.push_back(optional_output("y_c"));
    row.attrs.push_back(int_attr("input_forget", 0));
  }
  return row;
}

Sample recurrent_sample(RecurrentCell cell, const RecurrentSample& s) {
  const int64_t gates = row_of(cell).gates;
  const bool batch_first = s.attrs.get<int64_t>("layout", 0) == 1;
  const int64_t directions = s.attrs.get<std::string>("direction", "forward") == "bidirectional" ? 2 : 1;
  const auto weight = [&](Dims dims) {
    return s.constant ? random_weight(std::move(dims), -1, 1, s.dtype) : random_input(std::move(dims), -1, 1, s.dtype);
  };
  const Dims state = batch_first ? Dims{s.batch, directions, s.hidden} : Dims{directions, s.batch, s.hidden};
  Sample sample{.name = s.name, .attrs = s.attrs, .outputs = s.outputs};
  sample.attrs.set("hidden_size", s.hidden);
  sample.inputs = {
      random_input(batch_first ? Dims{s.batch, s.steps, s.inputs} : Dims{s.steps, s.batch, s.inputs}, -2, 2, s.dtype),
      weight({directions, gates * s.hidden, s.inputs}),
      weight({directions, gates * s.hidden, s.hidden}),
      weight({directions, 2 * gates * s.hidden}),
      s.lengths.empty() ? absent_input() : fixed(Tensor::of<int32_t>({s.batch}, s.lengths)),
      random_input(state, -1, 1, s.dtype),
      random_input(state, -2, 2, s.dtype),
      weight({directions, 3 * s.hidden}),
  };
  sample.inputs.resize(std::max(s.ports, s.lengths.empty() ? size_t{3} : size_t{5}));
  return sample;
}

}  // namespace amct
