#include "support/conformance.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "exec/session.h"
#include "frontends/onnx/load_onnx.h"
#include "ir/dispatch.h"
#include "ops/opaque.h"
#include "ops/subgraph.h"
#include "support/tensor_files.h"

namespace amct::testing {
namespace {

constexpr double kRelative = 1e-3;
constexpr double kAbsolute = 1e-5;
constexpr unsigned kSecondsPerCase = 60;

struct Refused {
  std::string reason;
};

void collect_reasons(const Graph& graph, std::set<std::string>& reasons) {
  for (const NodeId id : graph.nodes()) {
    if (graph.node(id).is_opaque()) reasons.insert(graph.node(id).attrs.get<std::string>(kOpaqueReason, "opaque"));
    for (const Subgraph& inner : subgraphs(graph.node(id))) collect_reasons(*inner.graph, reasons);
  }
}

void refuse_opaque(const Graph& graph) {
  std::set<std::string> reasons;
  collect_reasons(graph, reasons);
  if (!reasons.empty()) throw Refused{fmt::format("{}", fmt::join(reasons, "; "))};
}

bool close(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= kAbsolute + kRelative * std::abs(b);
}

// The stored data has no bfloat16: its bits are there as uint16.
Tensor as_declared(const Tensor& stored, DType declared) {
  if (declared != DType::kBFloat16 || stored.dtype() != DType::kUInt16) return stored;
  return Tensor::copy_of(declared, stored.dims(), stored.bytes());
}

// The first difference between what was computed and what is stored, or "".
std::string difference(const Tensor& computed, const Tensor& stored) {
  if (computed.dtype() != stored.dtype() || computed.dims() != stored.dims()) {
    return fmt::format("{}{} where {}{} is stored", name_of(computed.dtype()), to_string(computed.dims()),
                       name_of(stored.dtype()), to_string(stored.dims()));
  }
  if (is_floating(stored.dtype()) && bit_width(stored.dtype()) >= 16) {
    const auto a = computed.to_doubles();
    const auto b = stored.to_doubles();
    for (size_t i = 0; i < a.size(); ++i) {
      if (!close(a[i], b[i])) return fmt::format("{} where {} is stored, at element {}", a[i], b[i], i);
    }
    return {};
  }
  return computed.same_bytes(stored) ? std::string() : "elements differ";
}

std::vector<std::filesystem::path> data_sets(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> sets;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("test_data_set_")) sets.push_back(entry.path());
  }
  std::sort(sets.begin(), sets.end());
  return sets;
}

std::string run_case(const std::filesystem::path& folder) {
  Graph graph = load_onnx(folder / "model.onnx");
  refuse_opaque(graph);
  std::vector<DType> declared;
  for (const ValueId id : graph.inputs()) declared.push_back(graph.value(id).type.dtype);
  Session session(std::move(graph));
  size_t sets = 0;
  for (const auto& set : data_sets(folder)) {
    std::vector<Tensor> inputs = load_tensors(set, "input");
    for (size_t i = 0; i < std::min(inputs.size(), declared.size()); ++i)
      inputs[i] = as_declared(inputs[i], declared[i]);
    const std::vector<Tensor> outputs = session.run(inputs);
    const std::vector<Tensor> stored = load_tensors(set, "output");
    if (outputs.size() != stored.size()) {
      return fmt::format("{} outputs where {} are stored", outputs.size(), stored.size());
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (const std::string text = difference(outputs[i], as_declared(stored[i], outputs[i].dtype())); !text.empty()) {
        return fmt::format("output {}: {}", i, text);
      }
    }
    ++sets;
  }
  return sets > 0 ? std::string() : "no data";
}

void report(const char* verdict, const std::string& name, std::string reason) {
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  std::printf("%s %s%s%s\n", verdict, name.c_str(), reason.empty() ? "" : ": ", reason.c_str());
  std::fflush(stdout);
}

void run_and_report(const std::filesystem::path& folder, const std::string& name) {
  try {
    const std::string fault = run_case(folder);
    report(fault.empty() ? "pass" : "fail", name, fault);
  } catch (const Refused& refused) {
    report("refused", name, refused.reason);
  } catch (const Error& error) {
    report(error.code() == ErrorCode::kUnsupported ? "refused" : "fail", name,
           error.code() == ErrorCode::kUnsupported ? error.message() : error.what());
  } catch (const std::exception& error) {
    report("fail", name, fmt::format("exception {}", error.what()));
  }
}

}  // namespace

int run_conformance(const std::filesystem::path& root) {
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().filename() == "model.onnx") folders.push_back(entry.path().parent_path());
  }
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) {
    const std::string name = fmt::format("{}/{}", folder.parent_path().filename().string(), folder.filename().string());
    const pid_t child = fork();
    if (child == 0) {
      alarm(kSecondsPerCase);
      run_and_report(folder, name);
      _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return 1;
    if (WIFSIGNALED(status)) report("fail", name, fmt::format("ended by signal {}", WTERMSIG(status)));
  }
  return folders.empty() ? 1 : 0;
}

}  // namespace amct::testing
