#include "cli/command.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/process.h"
#include "base/thread_pool.h"
#include "cli/shapes.h"

namespace amct {

int GlobalOptions::worker_count() const { return threads > 0 ? threads : static_cast<int>(usable_cores()); }

void DataArguments::add_to(CLI::App& command, bool data_required) {
  auto* option = command.add_option(
      "--data", data, "images (JPEG, PNG), .npy, .npz, .bin, idx or TensorProto files: a folder or one file");
  if (data_required) option->required();
  command.add_option("--preprocess", preprocess,
                     "imagenet, imagenet-tf, cifar, mnist, unit, or resize=256,crop=224,mean=…,std=…,color=rgb|bgr,"
                     "layout=nchw|nhwc,filter=antialias|area|nearest");
  command.add_option("--input-shape", input_shapes, "shape of .bin files: name:1,3,224,224 (several: separated by ;)")
      ->delimiter(';');
  command
      .add_option("--data-types", data_types,
                  "element types of .bin files: float32, uint8, … (several: separated by ;)")
      ->delimiter(';');
  command.add_option("--samples", samples, "use the first N samples, in byte-wise order of the file names")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--batch", batch,
                  "samples that are processed together; changes no result but that of hfmg, which follows batches")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

DataOptions DataArguments::options() const {
  DataOptions result;
  if (!preprocess.empty()) result.preprocess = parse_preprocess(preprocess);
  Faults faults;
  for (const std::string& text : input_shapes) {
    ShapeOption shape = parse_shape_option(text, "--input-shape", faults);
    result.bin_names.push_back(std::move(shape.name));
    result.bin_shapes.push_back(std::move(shape.dims));
  }
  faults.throw_if_any();
  for (const std::string& text : data_types) {
    const auto dtype = dtype_from_name(text);
    if (!dtype) {
      throw Error(ErrorCode::kConfig, fmt::format("--data-types: '{}' is not an element type", text), {},
                  "float32, float16, float64, int8 to int64, uint8 to uint64 and bool are");
    }
    result.bin_types.push_back(*dtype);
  }
  return result;
}

std::string DataArguments::as_typed() const {
  std::string text = "--data " + shell_quoted(data.string());
  if (!preprocess.empty()) text += " --preprocess " + shell_quoted(preprocess);
  for (const std::string& shape : input_shapes) text += " --input-shape " + shell_quoted(shape);
  for (const std::string& type : data_types) text += " --data-types " + shell_quoted(type);
  return text;
}

std::set<Emit> parse_emit(const std::vector<std::string>& names) {
  if (names.empty()) return {Emit::kFake, Emit::kDeploy, Emit::kQdq};
  std::set<Emit> result;
  for (const std::string& name : names) {
    result.insert(name == "fake" ? Emit::kFake : name == "deploy" ? Emit::kDeploy : Emit::kQdq);
  }
  return result;
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  throw Error(ErrorCode::kResource, fmt::format("cannot write to standard output: {}", std::strerror(errno)));
}

void print_json(const nlohmann::ordered_json& object) { print(object.dump(2) + "\n"); }

}  // namespace amct
