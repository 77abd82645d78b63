#include "workflow/choose.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "passes/quantize/dmq.h"
#include "passes/quantize/input_channels.h"
#include "workflow/balance_search.h"
#include "workflow/calibrate.h"
#include "workflow/evaluate.h"
#include "workflow/input_energies.h"

namespace amct {
namespace {

constexpr int64_t kTrialSamples = 64;     // to calibrate a choice of layers with
constexpr int64_t kComparedSamples = 32;  // to measure one without labels

// Chooses how strongly each layer is balanced, by the maxima over all samples.
void choose_strengths(const QuantizeJob& job, CalibrationRun& run, const QuantizeRequest& request, Plan& plan) {
  const DataSource& source = source_for(job, "--balance=search");
  run.observe_maxima(job.graph, plan);
  std::vector<ChannelMaxima> maxima(plan.layers.size());
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const LayerPlan& layer = plan.layers[i];
    const auto activation = run.part().maxima.find(layer.tensor);
    if (!layer.quantize || !layer.balance_strength || activation == run.part().maxima.end()) continue;
    const auto values = activation->second.values();
    const std::vector<float> weight = weight_channel_max(job.graph, layer);
    if (activation->second.finite() && weight.size() == values.size())
      maxima[i] = {{values.begin(), values.end()}, weight};
  }
  choose_balance_strengths(job.graph, plan, maxima, source, job.samples, request.workers);
}

// Takes the non-uniform weights off the plan; returns what each layer was to have.
std::vector<int> take_steps(Plan& plan) {
  std::vector<int> steps;
  for (LayerPlan& layer : plan.layers) {
    steps.push_back(layer.weight ? layer.weight->steps : 0);
    if (layer.weight) layer.weight->steps = 0;
  }
  return steps;
}

// Calibrates with uniform weights, then finds the layers that may have others.
NuqOutcome choose_steps(const QuantizeJob& job, const QuantizeRequest& request) {
  const DataSource& source = source_for(job, "--nuq-loss");
  Plan plan = job.plan;
  const std::vector<int> steps = take_steps(plan);
  if (std::ranges::all_of(steps, [](int count) { return count == 0; })) {
    throw Error(ErrorCode::kConfig, "no layer is to have non-uniform weights, so that there is nothing to choose", {},
                "add --nuq 32, or nuq_quantize in the configuration");
  }
  NuqSearch search{.loss = *request.nuq_loss, .workers = request.workers};
  search.labels = job.labels;
  search.samples = std::min(job.samples, kTrialSamples);
  search.compared = std::min(job.samples, kComparedSamples);
  calibrate(job.graph, plan, source, search.samples, request.workers);
  return choose_nuq_layers(std::make_shared<const Graph>(job.graph), plan, steps, source, search);
}

// Throws Error(kInput) for a layer that the plan does not have.
LayerPlan& layer_of(Plan& plan, const std::string& name) {
  if (LayerPlan* layer = plan.find(name); layer != nullptr && layer->weight) return *layer;
  throw Error(ErrorCode::kInput, fmt::format("the parts chose for layer '{}', which the model does not have", name), {},
              "calibrate again");
}

std::map<std::string, std::vector<float>> weigh_inputs(const QuantizeJob& job, const QuantizeRequest& request) {
  const DataSource& source = source_for(job, "--nuq-weighted");
  auto energies = input_energies(job.graph, job.plan, source, std::min(job.samples, kTrialSamples), request.workers);
  if (energies.empty()) {
    throw Error(ErrorCode::kConfig, "--nuq-weighted: no layer is to have non-uniform weights", {},
                "add --nuq 32, or nuq_quantize in the configuration");
  }
  return energies;
}

void take_energy(const Graph& graph, LayerPlan& layer, const std::vector<float>& energy) {
  const InputChannels channels = input_channels(graph, graph.find_node(layer.name));
  if (channels.weight == nullptr || channels.count() != static_cast<int64_t>(energy.size())) {
    throw Error(ErrorCode::kInput,
                fmt::format("the parts know {} input channels of a layer that has others", energy.size()),
                {.node = layer.name}, "calibrate again");
  }
  layer.weight->input_energy = energy;
}

}  // namespace

bool chooses(const QuantizeRequest& request) {
  return request.search_balance || request.nuq_loss || request.nuq_weighted;
}

std::vector<std::string> prepare_to_observe(QuantizeJob& job, CalibrationRun& run, const QuantizeRequest& request) {
  Plan& plan = job.plan;
  std::optional<Choice> known = run.part().choice;
  Choice choice = known.value_or(Choice{});
  if (request.search_balance && !known) {
    choose_strengths(job, run, request, plan);
    for (const LayerPlan& layer : plan.layers) {
      if (layer.weight && !layer.hidden) choice.strengths[layer.name] = layer.balance_strength;
    }
  }
  for (const auto& [name, strength] : choice.strengths) layer_of(plan, name).balance_strength = strength;
  std::vector<std::string> folded = run.balance(job.graph, plan);
  add_qdq_tensors(job.graph, plan, request);
  if (request.nuq_weighted && !known) choice.energies = weigh_inputs(job, request);
  for (const auto& [name, energy] : choice.energies) take_energy(job.graph, layer_of(plan, name), energy);
  if (request.nuq_loss && !choice.nuq) choice.nuq = choose_steps(job, request);
  if (choice.nuq) {
    for (const std::string& name : choice.nuq->reverted) layer_of(plan, name).weight->steps = 0;
  }
  if (chooses(request) && !known) run.set_choice(std::move(choice));
  return folded;
}

const DataSource& source_for(const QuantizeJob& job, std::string_view option) {
  if (job.source) return *job.source;
  throw Error(ErrorCode::kConfig, fmt::format("{} needs the samples themselves", option), {}, "add --data");
}

}  // namespace amct
