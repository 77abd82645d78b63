// All samples of all operators, one after the other, in a test.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <functional>

#include "support/sample_node.h"

namespace amct::testing {

// Calls `f(row, sample, node)` for every sample of every row.
inline void for_each_sample(const std::function<void(const OpRow&, const Sample&, SampleNode&)>& f) {
  for (const OpRow& row : op_table().rows()) {
    for (const Sample& sample : row.samples()) {
      SampleNode node = make_sample_node(row, sample);
      const ::testing::ScopedTrace trace(__FILE__, __LINE__, node.title);
      try {
        f(row, sample, node);
      } catch (const std::exception& error) {
        ADD_FAILURE() << node.title << ": " << error.what();
      }
    }
  }
}

}  // namespace amct::testing
