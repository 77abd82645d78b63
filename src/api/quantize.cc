#include "workflow/quantize.h"

#include "base/thread_pool.h"

// The order matters: see seam.h.
#include "api/seam.h"

#include "amct/quantize.h"

namespace amct {
inline namespace v1 {
namespace {

QuantizeRequest to_request(const std::string& model, const QuantizeOptions& options) {
  QuantizeRequest request;
  request.model = model;
  request.data = options.data;
  request.out_prefix = options.out_prefix;
  request.labels = options.labels;
  request.config = options.config;
  request.samples = options.samples;
  request.workers = options.threads > 0 ? options.threads : usable_cores();
  request.skip = options.skip;
  if (!options.preprocess.empty()) request.data_options.preprocess = parse_preprocess(options.preprocess);
  request.parts.assign(options.calibration.begin(), options.calibration.end());
  request.resume = options.resume;
  request.emit.clear();
  if (options.fake_quant) request.emit.insert(Emit::kFake);
  if (options.deploy) request.emit.insert(Emit::kDeploy);
  if (options.qdq) request.emit.insert(Emit::kQdq);
  return request;
}

}  // namespace

QuantizeReport quantize(const std::string& model, const QuantizeOptions& options) {
  const auto internal = through_seam([&] { return amct::quantize(to_request(model, options)); });
  QuantizeReport report;
  report.samples = internal.samples;
  report.layers = internal.layers;
  report.quantized = internal.quantized;
  for (const auto& [layer, reason] : internal.kept_float) report.kept_float.push_back({layer, reason});
  if (internal.before) report.top1_before = internal.before->top1;
  if (internal.after) report.top1_after = internal.after->top1;
  if (internal.compared) report.sqnr_db = internal.sqnr_db;
  report.same_class_percent = internal.same_class_percent;
  report.seconds = internal.total_seconds;
  report.warnings = internal.warnings;
  report.downgrades = internal.downgrades;
  for (const auto& file : internal.files) report.files.push_back({file.path.string(), file.bytes, file.purpose});
  report.summary = to_summary(internal);
  return report;
}

bool write_calibration(const std::string& model, const QuantizeOptions& options, int number, int count) {
  return through_seam([&] {
    if (number < 1 || number > count) {
      throw LibraryError(LibraryErrorCode::kConfig,
                         "there is no share " + std::to_string(number) + " of " + std::to_string(count));
    }
    using Next = amct::CalibrationReport::Next;
    return amct::write_calibration(to_request(model, options), Shard{number, count}).next != Next::kMerge;
  });
}

}  // namespace v1
}  // namespace amct
