// amct's side of bench/float_speed.py and bench/integer_speed.py: compiles a network and runs it when told to.
//
//   float_speed MODEL THREADS WORKERS OUTPUT.npy INPUT.npy…
//
// Inputs in the graph's order. Runs once, writes the first output, prints "ready"; then for every number N on standard
// input the workers run the network N times each on average, whoever is free the next one, on memory of their own, and
// the seconds until the last one is done are printed. Workers share one program, compiled for THREADS threads.
#include <atomic>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "data/npy.h"
#include "exec/program.h"
#include "exec/session.h"
#include "kernels/threads.h"
#include "workflow/compare.h"
#include "workflow/model.h"

namespace amct {
namespace {

class Worker {
 public:
  Worker(const std::shared_ptr<const Graph>& graph, const std::shared_ptr<const Program>& program,
         const std::vector<Tensor>& inputs, int threads)
      : inputs_(inputs), threads_(threads) {
    if (program == nullptr) {
      session_ = std::make_unique<Session>(graph, CompileOptions{.threads = threads});
      return;
    }
    runner_ = std::make_unique<Runner>(program);
  }

  // Runs as long as runs are left.
  void run(std::atomic<int64_t>& left) {
    const ThreadLimit limit(threads_);
    while (left.fetch_sub(1) > 0) {
      if (runner_ != nullptr) {
        fill();  // a run may use the memory of its inputs for other values
        runner_->run();
      } else {
        session_->run(inputs_);
      }
    }
  }

  Tensor output() {
    if (runner_ == nullptr) return session_->run(inputs_)[0];
    std::atomic<int64_t> once = 1;
    run(once);
    return Tensor::copy_of(runner_->output(0));
  }

 private:
  void fill() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      std::memcpy(runner_->input(i).data, inputs_[i].bytes().data(), inputs_[i].bytes().size());
    }
  }

  std::vector<Tensor> inputs_;
  int threads_;
  std::unique_ptr<Runner> runner_;
  std::unique_ptr<Session> session_;  // where shapes depend on data
};

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 5) throw Error(ErrorCode::kConfig, "usage: float_speed MODEL THREADS WORKERS OUTPUT INPUT…");
  const int threads = std::stoi(arguments[1]);
  const size_t workers = std::stoul(arguments[2]);
  std::vector<Tensor> inputs;
  for (size_t i = 4; i < arguments.size(); ++i) inputs.push_back(read_npy(arguments[i]));
  Graph model = load_model(arguments[0]);
  if (is_quantized(model)) {
    lower_for_execution(model);
  } else {
    prepare(model);
  }
  const auto graph = executable(model);
  std::shared_ptr<const Program> program = Session(graph, {.threads = threads}).program(inputs);
  if (!program->complete()) program = nullptr;
  std::vector<std::unique_ptr<Worker>> team;
  for (size_t i = 0; i < workers; ++i) team.push_back(std::make_unique<Worker>(graph, program, inputs, threads));
  write_npy(arguments[3], team[0]->output().view());
  std::cout << "ready" << std::endl;
  for (int64_t times = 0; std::cin >> times;) {
    const auto start = std::chrono::steady_clock::now();
    std::atomic<int64_t> left = times * static_cast<int64_t>(workers);
    std::vector<std::jthread> others;
    for (size_t i = 1; i < workers; ++i) others.emplace_back([&, i] { team[i]->run(left); });
    team[0]->run(left);
    others.clear();
    std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace amct

int main(int argc, char** argv) {
  try {
    return amct::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cout << "error: " << error.what() << std::endl;
    return 1;
  }
}
