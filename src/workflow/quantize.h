// The verb `quantize`: a trained network and some samples in, INT8 files and a report out. Called by both command lines
// (cli/quantize_command.cc, cli/amct_onnx.cc) and by the library's interface (api/quantize.cc).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/sample_range.h"
#include "data/source.h"
#include "plan/plan.h"
#include "workflow/evaluate.h"
#include "workflow/evaluator.h"
#include "workflow/nuq_search.h"
#include "workflow/products.h"
#include "workflow/shares.h"

namespace amct {

struct QuantizeRequest {
  std::filesystem::path model;
  std::filesystem::path data;
  std::filesystem::path out_prefix;
  std::filesystem::path labels;  // empty = no accuracy
  std::filesystem::path config;  // a plan or a configuration of AMCT's; empty = defaults
  DataOptions data_options;
  std::optional<int64_t> samples;  // not set: as the configuration says, else 64
  int64_t batch = 1;               // samples in one of the configuration's batches
  int workers = 1;
  std::vector<std::string> skip;        // layers that stay float
  std::vector<std::string> skip_types;  // operators whose layers do
  std::set<Emit> emit{Emit::kFake, Emit::kDeploy, Emit::kQdq};
  std::string qdq_target{kDefaultQdqTarget};
  std::optional<int> weight_bits, activation_bits;  // of all layers that may have them, whatever `config` says
  bool weight_only = false;  // activations stay float; no samples are needed, and none calibrated with
  int weight_group = 0;      // inputs of a Gemm or MatMul that share a weight scale: a multiple of 32; 0 = all
  std::optional<bool> calibrate_with_quantized_weights;  // default: as the plan says, else yes
  std::optional<ClipSearch::Method> search;              // of all activations, without `config`; default: IFMR
  bool search_balance = false;                           // choose the strength of each layer by the error of its result
  std::optional<double> balance;     // strength of activation balance for layers that do not have one, in [0.2, 0.8]
  std::optional<bool> correct_bias;  // likewise
  int nuq_steps = 0;                 // 16 or 32: so many distinct weights in every layer that may have them
  std::optional<double> nuq_loss;    // choose which layers have non-uniform weights: points of top-1 or dB to lose
  bool nuq_weighted = false;         // those weights are chosen by what their errors cost the layer's result
  bool shift = false;                // search the shifts that cut sums to 16 bits
  bool joint = false;                // values that meet in an addition or concatenation share one factor
  bool check = false;                // verify every pass
  bool strict = false;               // a setting that a layer cannot have is an error
  bool amct_defaults = false;        // without `config`: AMCT's defaults, one batch among them, instead of amct's
  bool plan_file = true;             // write PREFIX_plan.json
  // Parts that `write_calibration` made of the same model and settings: merged instead of calibrating. Then `data` may
  // be empty; nothing is measured without it.
  std::vector<std::filesystem::path> parts;
  OtherShares* others = nullptr;   // processes that share the samples with this one; null = it observes all
  bool choose_only = false;        // `write_calibration` writes what is to be known before samples are shared
  bool resume = false;             // go on from PREFIX.checkpoint, if there is one
  double checkpoint_seconds = 30;  // between writing PREFIX.checkpoint; 0 = behind every sample
};

struct LayerSqnr {
  std::string layer;
  double sqnr_db = 0;
};

struct QuantizeReport {
  std::string model;
  // For the command to type next: how to call the program, and how to read the same data again.
  std::string program = "amct", data_arguments = "--data DIR";
  std::string next;  // another command instead
  int64_t opset = 0, parameters = 0, macs = 0;
  uint64_t bytes = 0;
  size_t nodes_before = 0, nodes_after = 0;
  std::vector<std::pair<std::string, int>> simplifications;  // pass -> changes
  bool weight_only = false;
  int64_t samples = 0;
  double read_seconds = 0, prepare_seconds = 0, compile_seconds = 0, calibrate_seconds = 0, search_seconds = 0,
         write_seconds = 0, total_seconds = 0;
  size_t layers = 0, quantized = 0;
  std::string format = "INT8";                                  // of the quantized layers
  std::vector<std::pair<std::string, std::string>> kept_float;  // layer -> reason
  std::optional<Accuracy> before, after;
  std::optional<Verdict> verdict;      // of the user's own evaluator
  size_t inputs = 0, groups = 0;       // inputs quantized besides those of layers, and groups that share a factor
  std::vector<std::string> rewritten;  // in the deployable model besides layers: "pool1 reads integers"
  size_t shifted = 0;                  // layers whose sums are cut to 16 bits, and the range of their shifts
  int least_shift = 0, largest_shift = 0;
  size_t balanced = 0;                                             // layers with balanced activations
  std::map<std::string, std::optional<double>> balance_strengths;  // chosen by search; not set: better without
  std::vector<std::string> balance_folded;  // those whose factors went into the layers before them
  std::optional<NuqOutcome> nuq;            // how layers with non-uniform weights were chosen
  size_t clustered = 0;  // layers with non-uniform weights, the bytes of their weights, and those bytes entropy coded
  double clustered_bytes = 0, coded_bytes = 0;
  bool compared = false;                     // what follows was measured; not without data
  double sqnr_db = 0;                        // of the logits, fake-quant against float
  std::optional<double> same_class_percent;  // of a classifier
  std::vector<LayerSqnr> weakest;
  std::vector<std::string> warnings;
  std::vector<std::string> downgrades;  // settings that layers cannot have, and what they have instead
  std::vector<OutputFile> files;
};

// Writes nothing unless everything succeeded. Throws Error.
QuantizeReport quantize(const QuantizeRequest& request);

// An evaluator measures the original model, and when all files are written the fake-quantized one (the QDQ model
// without that); should it fail then, the files stay: they are complete. Throws Error(kConfig) when neither is written.
QuantizeReport quantize(const QuantizeRequest& request, Evaluator& evaluator);

// The verb `calibrate`: a share of the calibration, for `quantize` to merge (docs/howto/calibrate-on-a-cluster.md).
struct CalibrationReport {
  std::string model;
  std::filesystem::path part;
  uint64_t bytes = 0;
  Shard shard;
  SampleRange samples;
  int64_t all_samples = 0;
  size_t tensors = 0;
  bool was_there = false;  // `resume` found the part complete
  // What is to be done with it and those of all other shares: another round of shares, the choice (choose_only), a
  // round of shares that all take this one part, `quantize`.
  enum class Next { kSecondRound, kChoice, kShares, kMerge };
  Next next = Next::kMerge;
  double seconds = 0;
};

// Observes the request's share of the samples and writes the part to `out_prefix`. A share of several with activation
// balance takes two rounds: the first writes maxima; its parts of all shares are the second one's `parts`. What is to
// be searched for is so between the rounds, by one call with `choose_only`. Throws Error.
CalibrationReport write_calibration(const QuantizeRequest& request, const Shard& shard);

std::string to_summary(const QuantizeReport& report);  // what the program prints when it is done

}  // namespace amct
