#include "ops/einsum.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "kernels/index/strided.h"

namespace amct {
namespace {

constexpr int kFirstEllipsis = 52;
using Labels = std::vector<int>;

[[noreturn]] void fault(std::string message) { throw Error(ErrorCode::kInput, std::move(message)); }

bool has(const Labels& labels, int label) { return std::find(labels.begin(), labels.end(), label) != labels.end(); }

std::string name_of_label(int label) {
  if (label >= kFirstEllipsis) return fmt::format("... axis {}", -1 - (label - kFirstEllipsis));
  return std::string(1, static_cast<char>(label < 26 ? 'A' + label : 'a' + label - 26));
}

// A term of the equation; an ellipsis is kFirstEllipsis.
Labels read_term(std::string_view term, std::string_view equation) {
  Labels labels;
  for (size_t i = 0; i < term.size(); ++i) {
    const char letter = term[i];
    if (letter >= 'A' && letter <= 'Z') {
      labels.push_back(letter - 'A');
    } else if (letter >= 'a' && letter <= 'z') {
      labels.push_back(letter - 'a' + 26);
    } else if (term.substr(i, 3) == "..." && !has(labels, kFirstEllipsis)) {
      labels.push_back(kFirstEllipsis);
      i += 2;
    } else {
      fault(fmt::format("equation '{}' has '{}' where a letter or one '...' is expected", equation, letter));
    }
  }
  return labels;
}

// The ellipsis replaced by the labels of `count` axes.
Labels with_ellipsis(const Labels& term, size_t count) {
  Labels labels;
  for (const int label : term) {
    if (label != kFirstEllipsis) {
      labels.push_back(label);
      continue;
    }
    for (size_t i = count; i-- > 0;) labels.push_back(kFirstEllipsis + static_cast<int>(i));
  }
  return labels;
}

// Without "->": the ellipsis, then the letters that occur once, in order.
Labels implicit_output(const std::vector<Labels>& terms) {
  std::map<int, int> counts;
  bool ellipsis = false;
  for (const Labels& term : terms) {
    for (const int label : term) ++counts[label];
    ellipsis = ellipsis || has(term, kFirstEllipsis);
  }
  Labels output;
  if (ellipsis) output.push_back(kFirstEllipsis);
  for (const auto& [label, count] : counts) {
    if (count == 1 && label != kFirstEllipsis) output.push_back(label);
  }
  return output;
}

std::vector<Labels> read_terms(std::string_view list, std::string_view equation) {
  std::vector<Labels> terms;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    terms.push_back(read_term(list.substr(begin, end - begin), equation));
    begin = end + 1;
  }
  return terms;
}

void check_output(const Labels& output, const std::vector<Labels>& terms, std::string_view equation) {
  for (const int label : output) {
    if (std::count(output.begin(), output.end(), label) > 1) {
      fault(fmt::format("equation '{}' repeats {} in its result", equation, name_of_label(label)));
    }
    if (std::none_of(terms.begin(), terms.end(), [&](const Labels& term) { return has(term, label); })) {
      fault(fmt::format("equation '{}' has {} in its result alone", equation, name_of_label(label)));
    }
  }
}

// An operand on its way: a buffer seen by labels, each once and of an extent above 1.
struct Operand {
  size_t buffer = 0;
  Labels labels;
  Dims strides;
};

class Planner {
 public:
  Planner(const EinsumLabels& labels, const std::vector<Dims>& inputs, bool transposed)
      : extents_(einsum_extents(labels, inputs)), inputs_(inputs.size()), transposed_(transposed) {
    for (const Dims& dims : inputs) plan_.elements.push_back(element_count(dims));
    for (size_t i = 0; i < inputs.size(); ++i) operands_.push_back(operand_of(i, labels.inputs[i], inputs[i]));
    for (const int label : labels.output) {
      if (extent(label) != 1) output_.push_back(label);
    }
    plan_.elements.push_back(count(output_));
  }

  EinsumPlan run() {
    const auto empty = [](int64_t elements) { return elements == 0; };
    if (std::any_of(plan_.elements.begin(), plan_.elements.end(), empty)) {
      plan_.steps.push_back({.kind = EinsumStep::Kind::kZero, .to = inputs_});
      return std::move(plan_);
    }
    Operand result = summed(operands_[0], needed_after(0));
    for (size_t i = 1; i < operands_.size(); ++i) {
      const std::set<int> needed = needed_after(i);
      std::set<int> kept = needed;
      kept.insert(result.labels.begin(), result.labels.end());
      const Operand other = summed(operands_[i], kept);
      std::set<int> of_other = needed;
      of_other.insert(other.labels.begin(), other.labels.end());
      result = joined(summed(result, of_other), other, needed);
    }
    finish(result);
    return std::move(plan_);
  }

 private:
  int64_t extent(int label) const { return extents_[static_cast<size_t>(label)]; }
  Dims dims_of(const Labels& labels) const {
    Dims dims;
    for (const int label : labels) dims.push_back(extent(label));
    return dims;
  }
  int64_t count(const Labels& labels) const { return element_count(dims_of(labels)); }

  Operand operand_of(size_t buffer, const Labels& labels, const Dims& dims) const {
    Operand operand{buffer, {}, {}};
    const Dims strides = row_major_strides(dims);
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      if (dims[axis] == 1) continue;
      const auto at = std::find(operand.labels.begin(), operand.labels.end(), labels[axis]) - operand.labels.begin();
      if (at < static_cast<int64_t>(operand.labels.size())) {
        operand.strides[static_cast<size_t>(at)] += strides[axis];
      } else {
        operand.labels.push_back(labels[axis]);
        operand.strides.push_back(strides[axis]);
      }
    }
    return operand;
  }

  // Labels of the result and of the operands behind `index`.
  std::set<int> needed_after(size_t index) const {
    std::set<int> labels(output_.begin(), output_.end());
    for (size_t i = index + 1; i < operands_.size(); ++i) {
      labels.insert(operands_[i].labels.begin(), operands_[i].labels.end());
    }
    return labels;
  }

  size_t new_buffer(const Labels& labels) {
    plan_.elements.push_back(count(labels));
    return plan_.elements.size() - 1;
  }

  bool is_dense(const Operand& operand, const Labels& order) const {
    const Dims dense = row_major_strides(dims_of(order));
    for (size_t i = 0; i < order.size(); ++i) {
      const auto at = std::find(operand.labels.begin(), operand.labels.end(), order[i]) - operand.labels.begin();
      if (operand.strides[static_cast<size_t>(at)] != dense[i]) return false;
    }
    return true;
  }

  // The operand as dense memory in this order of its labels.
  Operand arranged(const Operand& operand, const Labels& order) {
    const Dims dense = row_major_strides(dims_of(order));
    if (is_dense(operand, order)) return {operand.buffer, order, dense};
    return {copy(operand, order, new_buffer(order)), order, dense};
  }

  size_t copy(const Operand& operand, const Labels& order, size_t to) {
    EinsumStep step{.kind = EinsumStep::Kind::kCopy, .a = operand.buffer, .to = to, .dims = dims_of(order)};
    for (const int label : order) {
      const auto at = std::find(operand.labels.begin(), operand.labels.end(), label) - operand.labels.begin();
      step.strides.push_back(operand.strides[static_cast<size_t>(at)]);
    }
    plan_.steps.push_back(std::move(step));
    return to;
  }

  // The operand with all labels summed that are not in `kept`.
  Operand summed(const Operand& operand, const std::set<int>& kept) {
    Labels rest;
    std::vector<bool> mask;
    for (const int label : operand.labels) {
      mask.push_back(!kept.contains(label));
      if (!mask.back()) rest.push_back(label);
    }
    if (rest.size() == operand.labels.size()) return operand;
    const Operand dense = arranged(operand, operand.labels);
    const size_t to = new_buffer(rest);
    plan_.steps.push_back({.kind = EinsumStep::Kind::kSum,
                           .a = dense.buffer,
                           .to = to,
                           .dims = dims_of(operand.labels),
                           .summed = std::move(mask)});
    return {to, rest, row_major_strides(dims_of(rest))};
  }

  // Dense in the order (batch, rows, columns), or transposed if the memory is like that already.
  Operand matrix(const Operand& operand, const Labels& batch, const Labels& rows, const Labels& columns,
                 bool& swapped) {
    const Labels plain = concatenated({batch, rows, columns});
    const Labels other = concatenated({batch, columns, rows});
    swapped = transposed_ && !is_dense(operand, plain) && is_dense(operand, other);
    return swapped ? Operand{operand.buffer, other, operand.strides} : arranged(operand, plain);
  }

  static Labels concatenated(std::initializer_list<Labels> lists) {
    Labels all;
    for (const Labels& labels : lists) all.insert(all.end(), labels.begin(), labels.end());
    return all;
  }

  Operand joined(Operand a, Operand b, const std::set<int>& needed) {
    Labels batch, contracted, rows, columns;
    for (const int label : a.labels) {
      (!has(b.labels, label) ? rows : needed.contains(label) ? batch : contracted).push_back(label);
    }
    for (const int label : b.labels) {
      if (!has(a.labels, label)) columns.push_back(label);
    }
    if (rows.empty() && columns.empty() && contracted.empty()) {
      const Operand x = arranged(a, batch), y = arranged(b, batch);
      const size_t to = new_buffer(batch);
      plan_.steps.push_back({.kind = EinsumStep::Kind::kMultiply, .a = x.buffer, .b = y.buffer, .to = to});
      return {to, batch, row_major_strides(dims_of(batch))};
    }
    if (concatenated({batch, columns, rows}) == output_ && !rows.empty()) {  // (a b)^T = b^T a^T
      std::swap(a, b);
      std::swap(rows, columns);
    }
    EinsumStep step{.kind = EinsumStep::Kind::kProduct};
    step.a = matrix(a, batch, rows, contracted, step.a_transposed).buffer;
    step.b = matrix(b, batch, contracted, columns, step.b_transposed).buffer;
    step.batch = count(batch), step.m = count(rows), step.n = count(columns), step.k = count(contracted);
    const Labels labels = concatenated({batch, rows, columns});
    step.to = new_buffer(labels);
    plan_.steps.push_back(step);
    return {step.to, labels, row_major_strides(dims_of(labels))};
  }

  // Brings the result to the output, by writing it there at once where its order is right.
  void finish(const Operand& result) {
    const size_t output = inputs_;
    if (result.buffer > output && is_dense(result, output_)) {
      plan_.steps.back().to = output;
      plan_.elements.back() = 0;
    } else {
      copy(result, output_, output);
    }
  }

  std::vector<int64_t> extents_;
  size_t inputs_;
  bool transposed_;
  Labels output_;
  std::vector<Operand> operands_;
  EinsumPlan plan_;
};

}  // namespace

EinsumLabels read_einsum(std::string_view equation, const std::vector<size_t>& ranks) {
  std::string text;
  std::copy_if(equation.begin(), equation.end(), std::back_inserter(text), [](char c) { return c != ' '; });
  const size_t arrow = text.find("->");
  const std::vector<Labels> terms =
      read_terms(std::string_view(text).substr(0, std::min(arrow, text.size())), equation);
  if (terms.size() != ranks.size()) {
    fault(fmt::format("equation '{}' has {} terms for {} operands", equation, terms.size(), ranks.size()));
  }
  size_t longest = 0;
  EinsumLabels labels;
  for (size_t i = 0; i < terms.size(); ++i) {
    const bool open = has(terms[i], kFirstEllipsis);
    const size_t letters = terms[i].size() - (open ? 1 : 0);
    if (ranks[i] < letters || (!open && ranks[i] != letters)) {
      fault(fmt::format("term {} of equation '{}' does not fit an operand of rank {}", i + 1, equation, ranks[i]));
    }
    longest = std::max(longest, ranks[i] - letters);
    labels.inputs.push_back(with_ellipsis(terms[i], ranks[i] - letters));
  }
  const Labels output = arrow == std::string::npos ? implicit_output(terms)
                                                   : read_term(std::string_view(text).substr(arrow + 2), equation);
  check_output(output, terms, equation);
  if (longest > 0 && !has(output, kFirstEllipsis)) {
    fault(fmt::format("equation '{}' has no '...' in its result for the axes that '...' stands for", equation));
  }
  labels.output = with_ellipsis(output, longest);
  return labels;
}

std::vector<int64_t> einsum_extents(const EinsumLabels& labels, const std::vector<Dims>& inputs) {
  std::vector<int64_t> extents(kFirstEllipsis, 1);
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::map<int, int64_t> own;
    for (size_t axis = 0; axis < inputs[i].size(); ++axis) {
      const int label = labels.inputs[i][axis];
      const int64_t extent = inputs[i][axis];
      if (const auto [at, first] = own.emplace(label, extent); !first && at->second != extent) {
        fault(fmt::format("a diagonal of axes of {} and {} does not exist", at->second, extent));
      }
      if (static_cast<size_t>(label) >= extents.size()) extents.resize(static_cast<size_t>(label) + 1, 1);
      int64_t& joined = extents[static_cast<size_t>(label)];
      if (joined != 1 && extent != 1 && joined != extent) {
        fault(fmt::format("axis {} is {} and {}", name_of_label(label), joined, extent));
      }
      if (joined == 1) joined = extent;
    }
  }
  return extents;
}

EinsumPlan plan_einsum(const EinsumLabels& labels, const std::vector<Dims>& inputs, bool transposed) {
  return Planner(labels, inputs, transposed).run();
}

int64_t EinsumPlan::macs() const {
  int64_t total = 0;
  for (const EinsumStep& step : steps) {
    if (step.kind == EinsumStep::Kind::kProduct) total += step.batch * step.m * step.n * step.k;
    if (step.kind == EinsumStep::Kind::kMultiply) total += elements[step.to];
  }
  return total;
}

}  // namespace amct
