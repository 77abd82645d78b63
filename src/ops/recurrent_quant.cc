// Which LSTM and GRU layers can be quantized (spec C.19): those that Ascend's recurrent operators compute. Attributes
// at their default count as absent.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "ops/compute_row.h"
#include "ops/recurrent.h"

namespace amct {
namespace {

using namespace recurrent;

bool is_fed_from_input(const Graph& graph, ValueId value) {
  for (const Node* node = graph.producer(value); node != nullptr; node = graph.producer(value)) {
    if (node->is_opaque() || node->row->quant.kind() != QuantRule::Kind::kPassThrough) return false;
    value = node->input(0);
  }
  return graph.value(value).kind == ValueKind::kInput;
}

bool has_default_activations(const Node& node, bool lstm) {
  const auto names = node.attrs.get<std::vector<std::string>>("activations", {});
  static const std::vector<std::string> of_lstm{"sigmoid", "tanh", "tanh"}, of_gru{"sigmoid", "tanh"};
  return names.empty() ||
         std::ranges::equal(names, lstm ? of_lstm : of_gru, [](const std::string& name, const std::string& standard) {
           return std::ranges::equal(name, standard,
                                     [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
         });
}

void check_attributes(const Node& node, bool lstm, std::vector<std::string>& reasons) {
  if (const std::string direction = attr_string(node, "direction"); direction != "forward") {
    reasons.push_back(fmt::format("its direction is {}, not forward", direction));
  }
  if (attr_int(node, "layout") != 0) reasons.emplace_back("its layout is 1 (batch first), not 0");
  if (!has_default_activations(node, lstm)) {
    reasons.emplace_back(lstm ? "its activations are not Sigmoid, Tanh, Tanh"
                              : "its activations are not Sigmoid, Tanh");
  }
  for (const char* name : {"activation_alpha", "activation_beta"}) {
    if (!attr_floats(node, name).empty()) reasons.push_back(fmt::format("it has {}", name));
  }
  if (node.attrs.has("clip")) reasons.push_back(fmt::format("it clips its gates at {}", attr_float(node, "clip")));
  if (lstm && attr_int(node, "input_forget") != 0) reasons.emplace_back("input_forget couples its gates");
  if (!lstm && attr_int(node, "linear_before_reset") == 0) reasons.emplace_back("linear_before_reset is 0");
}

void check_inputs(const Graph& graph, const Node& node, bool lstm, std::vector<std::string>& reasons) {
  const std::pair<size_t, const char*> constants[] = {{kW, "weight"}, {kR, "recurrent weight"}, {kB, "bias"}};
  for (const auto& [port, what] : constants) {
    if (!node.input(port).valid()) {
      reasons.push_back(fmt::format("it has no {}", what));
    } else if (std::string reason = check_constant(graph, node, port, what); !reason.empty()) {
      reasons.push_back(std::move(reason));
    }
  }
  const std::pair<size_t, const char*> states[] = {{kInitialH, "initial_h"}, {kInitialC, "initial_c"}};
  for (const auto& [port, what] : std::span(states).first(lstm ? 2 : 1)) {
    if (!node.input(port).valid()) {
      reasons.push_back(fmt::format("it has no {}, which must be fed from an input of the model", what));
    } else if (!is_fed_from_input(graph, node.input(port))) {
      reasons.push_back(fmt::format("its {} is not fed from an input of the model", what));
    }
  }
  if (lstm && node.input(kPeephole).valid()) reasons.emplace_back("it has peephole weights");
  const DType dtype = graph.value(node.input(kX)).type.dtype;
  if (dtype != DType::kUndefined && dtype != DType::kFloat32) {
    reasons.push_back(fmt::format("its input is {}, not float32", name_of(dtype)));
  }
}

}  // namespace

std::string check_recurrent(const Graph& graph, const Node& node) {
  const bool lstm = node.row->attr("input_forget") != nullptr;
  std::vector<std::string> reasons;
  check_attributes(node, lstm, reasons);
  check_inputs(graph, node, lstm, reasons);
  for (size_t port = 0; port < node.row->outputs.size(); ++port) {
    if (!node.output(port).valid()) {
      reasons.push_back(fmt::format("its output {} is absent", node.row->outputs[port].name));
    }
  }
  return fmt::format("{}", fmt::join(reasons, "; "));
}

}  // namespace amct
