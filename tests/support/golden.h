// Golden cases: arrays named "<case>.<array>" in an .npz, parameters as JSON in its array `params_json`.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/assets.h"
#include "support/npz.h"

namespace amct::testing {

class Golden {
 public:
  explicit Golden(const std::string& name) : arrays_(read_npz(assets() / "golden" / (name + ".npz"))) {
    const auto text = arrays_.at("params_json").values<uint8_t>();
    parameters_ = nlohmann::ordered_json::parse(text.begin(), text.end());
  }

  // Cases whose name starts with `prefix`, in the order of the file.
  std::vector<std::string> cases(const std::string& prefix = "") const {
    std::vector<std::string> result;
    for (const auto& [name, value] : parameters_.items()) {
      if (name.starts_with(prefix)) result.push_back(name);
    }
    return result;
  }
  const nlohmann::ordered_json& parameters(const std::string& name) const { return parameters_.at(name); }
  bool has(const std::string& name, const std::string& array) const { return arrays_.contains(name + "." + array); }
  // An input array may be stored under another case, which the parameter "<array>_of" names.
  const Tensor& array(const std::string& name, const std::string& array) const {
    const auto shared = parameters_.at(name).find(array + "_of");
    const std::string owner = shared == parameters_.at(name).end() ? name : shared->get<std::string>();
    return arrays_.at(owner + "." + array);
  }
  std::vector<float> floats(const std::string& name, const std::string& array_name) const {
    const Tensor tensor = array(name, array_name).cast(DType::kFloat32);
    const auto values = tensor.values<float>();
    return {values.begin(), values.end()};
  }

 private:
  std::map<std::string, Tensor> arrays_;
  nlohmann::ordered_json parameters_;
};

}  // namespace amct::testing
