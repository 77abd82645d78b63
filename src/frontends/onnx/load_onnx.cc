#include "frontends/onnx/load_onnx.h"

#include <fmt/core.h>

#include <new>
#include <stdexcept>

#include "base/files.h"
#include "frontends/onnx/import_graph.h"
#include "frontends/onnx/inline_functions.h"
#include "frontends/onnx/sniff.h"
#include "onnx_wire.pb.h"

namespace amct {
namespace {

namespace wire = amct::wire::onnx;

// What else the file may be; appended to the message that it is no ONNX model.
std::string resemblance(onnx_file::Bytes file) {
  const std::string what = onnx_file::looks_like(file);
  return what.empty() ? "this is not an ONNX model" : fmt::format("this is not an ONNX model: it looks like {}", what);
}

onnx_file::WireScan scan(onnx_file::Bytes file) {
  if (file.empty()) throw Error(ErrorCode::kInput, "the file is empty");
  try {
    onnx_file::WireScan result = onnx_file::scan_model(file);
    if (result.has_graph) return result;
  } catch (const Error& error) {
    const std::string what = onnx_file::looks_like(file);
    if (what.empty()) throw;
    throw Error(ErrorCode::kInput, resemblance(file));
  }
  throw Error(ErrorCode::kInput, resemblance(file), {}, "give a .onnx file");
}

Graph load(const std::shared_ptr<const MappedFile>& file) {
  onnx_file::WireScan scan_result = scan(file->bytes());
  if (scan_result.skeleton.size() > INT32_MAX) {
    throw Error(ErrorCode::kUnsupported, "the graph without its weights is larger than 2 GB");
  }
  wire::ModelProto model;
  if (!model.ParseFromArray(scan_result.skeleton.data(), static_cast<int>(scan_result.skeleton.size()))) {
    throw Error(ErrorCode::kInput, "the file is damaged: a part of it is no valid message");
  }
  const std::vector<onnx_file::Opsets> scopes = onnx_file::inline_functions(model, scan_result.nodes);
  onnx_file::TensorDecoder tensors(file, std::move(scan_result.payloads), file->path().parent_path());
  return onnx_file::import_model(model, {scan_result.nodes, scopes, scan_result.kept_fields}, tensors, file->path());
}

}  // namespace

Graph load_onnx(const std::filesystem::path& path) {
  const Where where{.model = path.string()};
  const auto file = MappedFile::open(path);
  try {
    return load(file);
  } catch (const Error& error) {
    throw error.with(where);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kResource, "not enough memory to read the model", where);
  } catch (const std::length_error&) {
    throw Error(ErrorCode::kInput, "the model asks for more memory than any machine has", where);
  }
}

}  // namespace amct
