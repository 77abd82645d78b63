// Reads the messages that say how the range of an activation is chosen (FMRQuantize, HFMGQuantize).
#pragma once

#include "recipe/amct_config/cfg_reader.h"
#include "recipe/amct_config/quant_config.h"

namespace amct::config {

// Fields that contradict each other are faults of the reader's document.
ActivationSettings read_ifmr(const CfgReader& r);
ActivationSettings read_hfmg(const CfgReader& r);

}  // namespace amct::config
