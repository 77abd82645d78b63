// Changes serialized messages at random while the messages around the change stay valid.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace amct::testing {

// Picks a field at random, down through the nested messages, and changes it: bits, length, number, order, or it goes or
// comes twice. Lengths of all messages around it are put right.
std::string mutate_field(const std::string& message, std::mt19937_64& random);

// Changes bytes anywhere: flips, cuts, insertions, copies.
std::string mutate_bytes(const std::string& bytes, std::mt19937_64& random);

}  // namespace amct::testing
