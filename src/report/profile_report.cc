#include "report/profile_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace amct {
namespace {

struct Line {
  double seconds = 0;
  int64_t macs = 0, bytes = 0;
  size_t steps = 1;
  std::string implementation, layout, op, output, nodes;
};

std::string_view name_of(Layout layout) { return layout == Layout::kChannelsLast ? "channels last" : "plain"; }

std::string nodes_of(const Program::StepInfo& step) {
  return step.nodes.empty() ? "(layout)" : fmt::format("{}", fmt::join(step.nodes, " + "));
}

std::vector<Line> lines_of(const Profile& profile) {
  std::vector<Line> lines;
  for (const Profile::StepTime& time : profile.step_times()) {
    const Program::StepInfo& step = profile.steps()[time.step];
    lines.push_back({time.median_seconds, step.macs, step.bytes, 1, step.implementation,
                     std::string(name_of(step.layout)), step.op, to_string(step.dims), nodes_of(step)});
  }
  return lines;
}

double total_of(const std::vector<Line>& lines) {
  double total = 0;
  for (const Line& line : lines) total += line.seconds;
  return total;
}

// Sums by operator, implementation and layout, the slowest first.
std::vector<Line> sums_of(const std::vector<Line>& lines) {
  std::map<std::tuple<std::string, std::string, std::string>, Line> sums;
  for (const Line& line : lines) {
    const auto [at, is_new] = sums.try_emplace({line.op, line.implementation, line.layout}, line);
    if (is_new) continue;
    Line& sum = at->second;
    sum.seconds += line.seconds;
    sum.macs += line.macs;
    sum.bytes += line.bytes;
    ++sum.steps;
  }
  std::vector<Line> result;
  for (auto& [key, sum] : sums) result.push_back(std::move(sum));
  std::stable_sort(result.begin(), result.end(), [](const Line& a, const Line& b) { return a.seconds > b.seconds; });
  return result;
}

double per_nanosecond(int64_t count, double seconds) { return seconds > 0 ? count / seconds * 1e-9 : 0; }
double share(double seconds, double total) { return total > 0 ? 100 * seconds / total : 0; }

// The columns that both tables have. Steps that multiply nothing have no GFLOP/s.
std::string numbers(const Line& line, double total) {
  const std::string flops = line.macs > 0 ? fmt::format("{:.1f}", per_nanosecond(2 * line.macs, line.seconds)) : "-";
  return fmt::format("{:>9.3f} {:>6.1f} {:>8} {:>7.1f}", line.seconds * 1e3, share(line.seconds, total), flops,
                     per_nanosecond(line.bytes, line.seconds));
}

size_t widest(const std::vector<Line>& lines, std::string Line::*column, size_t least) {
  for (const Line& line : lines) least = std::max(least, (line.*column).size());
  return least;
}

}  // namespace

std::string profile_text(const Profile& profile) {
  const std::vector<Line> lines = lines_of(profile);
  const double total = total_of(lines);
  const size_t implementation = widest(lines, &Line::implementation, 14);
  const size_t op = widest(lines, &Line::op, 8);
  const size_t output = widest(lines, &Line::output, 6);
  const std::string head = fmt::format("{:>9} {:>6} {:>8} {:>7}", "ms", "%", "GFLOP/s", "GB/s");
  std::string text = fmt::format("{}  {:<{}}  {:<13}  {:<{}}  {:<{}}  {}\n", head, "implementation", implementation,
                                 "layout", "operator", op, "output", output, "nodes");
  for (const Line& line : lines) {
    text += fmt::format("{}  {:<{}}  {:<13}  {:<{}}  {:<{}}  {}\n", numbers(line, total), line.implementation,
                        implementation, line.layout, line.op, op, line.output, output, line.nodes);
  }
  text += fmt::format("\n{}  {:<{}}  {:<13}  {:<{}}  {}\n", head, "implementation", implementation, "layout",
                      "operator", op, "steps");
  for (const Line& line : sums_of(lines)) {
    text += fmt::format("{}  {:<{}}  {:<13}  {:<{}}  {}\n", numbers(line, total), line.implementation, implementation,
                        line.layout, line.op, op, line.steps);
  }
  text += fmt::format("\n{:>9.3f} ms a run: the sum of {} steps, each the median of {} runs\n", total * 1e3,
                      lines.size(), profile.runs());
  return text;
}

nlohmann::ordered_json profile_json(const Profile& profile) {
  const std::vector<Line> lines = lines_of(profile);
  const double total = total_of(lines);
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const Line& line : lines) {
    steps.push_back({{"nodes", line.nodes},
                     {"operator", line.op},
                     {"milliseconds", line.seconds * 1e3},
                     {"percent", share(line.seconds, total)},
                     {"macs", line.macs},
                     {"bytes", line.bytes},
                     {"implementation", line.implementation},
                     {"layout", line.layout},
                     {"output", line.output}});
  }
  return {{"runs", profile.runs()}, {"milliseconds", total * 1e3}, {"steps", steps}};
}

std::string profile_trace(const Profile& profile) {
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (const Profile::Event& event : profile.events()) {
    using Microseconds = std::chrono::duration<double, std::micro>;
    const Program::StepInfo& step = profile.steps()[event.step];
    events.push_back({{"name", nodes_of(step)},
                      {"cat", step.op},
                      {"ph", "X"},
                      {"ts", Microseconds(event.begin - profile.events()[0].begin).count()},
                      {"dur", Microseconds(event.end - event.begin).count()},
                      {"pid", 1},
                      {"tid", 1},
                      {"args",
                       {{"operator", step.op},
                        {"implementation", step.implementation},
                        {"layout", name_of(step.layout)},
                        {"output", to_string(step.dims)},
                        {"macs", step.macs},
                        {"bytes", step.bytes}}}});
  }
  return nlohmann::ordered_json{{"displayTimeUnit", "ms"}, {"traceEvents", events}}.dump() + "\n";
}

}  // namespace amct
