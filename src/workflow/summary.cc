// The summary that `amct quantize` prints: one line a stage, in the order of the work.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/process.h"
#include "workflow/inspect.h"
#include "workflow/quantize.h"

namespace amct {
namespace {

std::string simplified_line(const QuantizeReport& report) {
  std::string text = fmt::format("simplified {} -> {} nodes", report.nodes_before, report.nodes_after);
  const char* separator = ": ";
  for (const auto& [pass, changes] : report.simplifications) {
    text += fmt::format("{}{} {}", separator, changes, pass);
    separator = ", ";
  }
  return text + "\n";
}

// "28 of 29 layers to INT8; fc stays float: …": layers that share a reason share a clause.
std::string quantized_line(const QuantizeReport& report) {
  std::string text = fmt::format("quantized  {} of {} layers to {}", report.quantized, report.layers, report.format);
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const auto& [layer, reason] : report.kept_float) by_reason[reason].push_back(layer);
  for (const auto& [reason, layers] : by_reason) {
    text += layers.size() <= 2 ? fmt::format("; {} {} float: {}", fmt::join(layers, ", "),
                                             layers.size() == 1 ? "stays" : "stay", reason)
                               : fmt::format("; {} layers stay float: {}", layers.size(), reason);
  }
  return text + "\n";
}

// What is quantized or rewritten besides the inputs of layers.
std::string tensors_lines(const QuantizeReport& report) {
  std::string text;
  if (report.inputs > 0) {
    text += fmt::format("tensors    {} further inputs quantized{}\n", report.inputs,
                        report.groups > 0 ? fmt::format(", {} groups of values share a factor", report.groups) : "");
  }
  if (report.shifted > 0) {
    text += fmt::format("shifted    {} layers by {} to {} bits (not in the QDQ file)\n", report.shifted,
                        report.least_shift, report.largest_shift);
  }
  if (!report.rewritten.empty()) {
    const size_t shown = std::min<size_t>(report.rewritten.size(), 2), left = report.rewritten.size() - shown;
    const auto end = report.rewritten.begin() + static_cast<ptrdiff_t>(shown);
    text += fmt::format("deployed   {}{}\n", fmt::join(report.rewritten.begin(), end, ", "),
                        left > 0 ? fmt::format(" and {} more like these", left) : "");
  }
  return text;
}

std::string balance_lines(const QuantizeReport& report) {
  std::string text;
  if (report.balanced > 0) {
    text += fmt::format("balanced   {} layers, {} of them inside the layers before them\n", report.balanced,
                        report.balance_folded.size());
  }
  if (report.balance_strengths.empty()) return text;
  std::map<std::string, int> counts;
  for (const auto& [layer, strength] : report.balance_strengths) {
    ++counts[strength ? fmt::format("{:.1f}", *strength) : "none"];
  }
  text += "strengths ";
  for (const auto& [strength, count] : counts) text += fmt::format(" {}: {}", strength, count);
  return text + " (layers by chosen strength; the plan lists them)\n";
}

std::string non_uniform_lines(const QuantizeReport& report) {
  std::string text;
  if (report.nuq) {
    text += fmt::format("chosen     {} of {} layers stay uniform: {} {:.2f} -> {:.2f} in {} evaluations\n",
                        report.nuq->reverted.size(), report.nuq->candidates, report.nuq->metric, report.nuq->uniform,
                        report.nuq->mixed, report.nuq->evaluations);
  }
  if (report.clustered > 0) {
    text += fmt::format("non-uniform {} layers: {} of weights, {} entropy coded\n", report.clustered,
                        human_bytes(static_cast<uint64_t>(report.clustered_bytes)),
                        human_bytes(static_cast<uint64_t>(report.coded_bytes)));
  }
  return text;
}

std::string accuracy_line(const QuantizeReport& report) {
  std::string text = "accuracy   ";
  if (report.before && report.after) {
    text += fmt::format("top-1 {:.1f} -> {:.1f} ({:+.1f}), top-5 {:.1f} -> {:.1f} on {} samples, ", report.before->top1,
                        report.after->top1, report.after->top1 - report.before->top1, report.before->top5,
                        report.after->top5, report.after->samples);
  }
  text += fmt::format("SQNR {:.1f} dB", report.sqnr_db);
  if (report.same_class_percent) text += fmt::format(", same class {:.1f} %", *report.same_class_percent);
  const char* separator = "; weakest: ";
  for (const LayerSqnr& layer : report.weakest) {
    text += fmt::format("{}{} ({:.1f} dB)", separator, layer.layer, layer.sqnr_db);
    separator = ", ";
  }
  return text + "\n";
}

std::string verdict_line(const Verdict& verdict) {
  std::string text = fmt::format("evaluator  {:.6g} -> {:.6g}", verdict.original, verdict.quantized);
  if (verdict.loss) text += fmt::format(", loss {:.6g}", *verdict.loss);
  if (verdict.satisfied) text += *verdict.satisfied ? ": satisfied" : ": not satisfied";
  return text + "\n";
}

// What was written, and the command to type next.
std::string files_lines(const QuantizeReport& report) {
  std::string text, qdq;
  const char* label = "wrote";
  size_t width = 0;
  for (const OutputFile& file : report.files) width = std::max(width, file.path.string().size());
  for (const OutputFile& file : report.files) {
    const std::string path = file.path.string();
    text += fmt::format("{:<10} {:<{}}  {:>8}  {}\n", label, path, width, human_bytes(file.bytes), file.purpose);
    if (qdq.empty() && path.ends_with(".onnx")) qdq = path;
    label = "";
  }
  if (!report.next.empty()) {
    text += fmt::format("next       {}\n", report.next);
  } else if (!qdq.empty()) {
    text += fmt::format("next       {} compare {} {} {}\n", report.program, shell_quoted(report.model),
                        shell_quoted(qdq), report.data_arguments);
  }
  return text;
}

}  // namespace

std::string to_summary(const QuantizeReport& report) {
  std::string text = fmt::format("read       {}  opset {}, {}, {} parameters, {} MACs\n", report.model, report.opset,
                                 human_bytes(report.bytes), human_count(report.parameters), human_count(report.macs));
  text += simplified_line(report);
  if (!report.weight_only) {
    text += fmt::format("calibrated {} samples in {:.2f} s, factors chosen in {:.2f} s\n", report.samples,
                        report.calibrate_seconds, report.search_seconds);
  }
  text += quantized_line(report);
  text += tensors_lines(report);
  text += balance_lines(report);
  text += non_uniform_lines(report);
  if (report.compared) text += accuracy_line(report);
  if (report.verdict) text += verdict_line(*report.verdict);
  for (const std::string& line : report.downgrades) text += fmt::format("downgrade  {}\n", line);
  for (const std::string& warning : report.warnings) text += fmt::format("warning    {}\n", warning);
  text += files_lines(report);
  text += fmt::format("total      {:.2f} s\n", report.total_seconds);
  return text;
}

}  // namespace amct
