// `amct calibrate`: a share of the samples observed, for `amct quantize --calibration` to merge with the others.
#include <fmt/core.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/quantize_arguments.h"
#include "workflow/inspect.h"

namespace amct {
namespace {

struct Arguments {
  QuantizeArguments quantize;
  std::string shard = "1/1";
};

Shard parse_shard(const std::string& text) {
  Shard shard;
  const char* end = text.data() + text.size();
  const auto number = std::from_chars(text.data(), end, shard.number);
  if (number.ec == std::errc() && number.ptr != end && *number.ptr == '/') {
    const auto count = std::from_chars(number.ptr + 1, end, shard.count);
    const bool is_whole = count.ec == std::errc() && count.ptr == end;
    if (is_whole && shard.number >= 1 && shard.number <= shard.count && shard.count <= Shard::kMost) return shard;
  }
  throw Error(
      ErrorCode::kConfig, fmt::format("--shard is '{}'", text), {},
      fmt::format("write it as 3/8: the third of eight shares, counted from 1; at most {} shares", Shard::kMost));
}

const char* next_step(CalibrationReport::Next next) {
  switch (next) {
    case CalibrationReport::Next::kSecondRound:
      return "activation balance takes a second round: the same command with another --out and --calibration with the "
             "parts of all shares";
    case CalibrationReport::Next::kChoice:
      return "once: the same command with --choose instead of --shard, another --out, and --calibration with the parts "
             "of all shares";
    case CalibrationReport::Next::kShares:
      return "all shares: the same options with --shard instead of --choose, and --calibration with this file";
    case CalibrationReport::Next::kMerge: break;
  }
  return "amct quantize with the same options, and --calibration with the parts of all shares";
}

std::string to_text(const CalibrationReport& report) {
  std::string text;
  if (report.next == CalibrationReport::Next::kShares) {
    text = fmt::format("chosen     what is to be known before samples are shared, in {:.2f} s{}\n", report.seconds,
                       report.was_there ? ": it was done before" : "");
  } else if (report.samples.size() == 0) {
    text = fmt::format("calibrated no sample: {} shares are more than there are samples\n", report.shard.count);
  } else {
    text = fmt::format("calibrated samples {} to {} of {} (share {} of {}) in {:.2f} s{}\n", report.samples.begin,
                       report.samples.end - 1, report.all_samples, report.shard.number, report.shard.count,
                       report.seconds, report.was_there ? ": it was done before" : "");
  }
  text +=
      fmt::format("wrote      {}  {}, {} tensors\n", report.part.string(), human_bytes(report.bytes), report.tensors);
  return text + "next       " + next_step(report.next) + "\n";
}

nlohmann::ordered_json to_json(const CalibrationReport& report) {
  return {{"model", report.model},
          {"part", report.part.string()},
          {"bytes", report.bytes},
          {"shard", {{"number", report.shard.number}, {"count", report.shard.count}}},
          {"samples", {{"begin", report.samples.begin}, {"end", report.samples.end}, {"all", report.all_samples}}},
          {"tensors", report.tensors},
          {"was_there", report.was_there},
          {"needs_another_round", report.next != CalibrationReport::Next::kMerge},
          {"seconds", report.seconds}};
}

}  // namespace

void add_checkpoint_options(CLI::App& command, QuantizeRequest& request) {
  command.add_flag("--resume", request.resume,
                   "go on where an interrupted run stopped, if it left its checkpoint (OUT.checkpoint)");
  command
      .add_option("--checkpoint-seconds", request.checkpoint_seconds,
                  "seconds between checkpoints; 0: one behind every sample")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void add_calibrate_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("calibrate", "Observe a share of the samples, for quantize to merge");
  command->footer(
      "Example:\n  amct calibrate model.onnx --data val/ --preprocess imagenet --shard 3/8 --out part3.cal\n"
      "  amct quantize model.onnx --calibration part*.cal --out out/model\n");
  auto arguments = std::make_shared<Arguments>();
  QuantizeRequest& request = arguments->quantize.request;
  arguments->quantize.add_to(*command, true);
  command->add_option("--shard", arguments->shard, "which share of how many: 3/8")->capture_default_str();
  command->add_option("--out", request.out_prefix, "the file to write; missing folders are created")->required();
  command->add_option("--calibration", request.parts,
                      "all parts of the first round, where activation balance takes two, or what --choose has written");
  command->add_flag("--choose", request.choose_only,
                    "find what --balance=search, --nuq-loss and --nuq-weighted ask for, before the samples are shared");
  add_checkpoint_options(*command, request);
  command->callback([arguments, &global] {
    const Shard shard = parse_shard(arguments->shard);
    const QuantizeRequest request = arguments->quantize.to_request(global);
    const CalibrationReport report = write_calibration(request, shard);
    if (global.json) return print_json(to_json(report));
    if (!global.quiet) print(to_text(report));
  });
}

}  // namespace amct
