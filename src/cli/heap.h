// How the C library gives memory to the program. Only the program sets this: a library leaves its host's heap alone.
#pragma once

namespace amct {

// To be called before anything is allocated. Does nothing where the C library is another than glibc.
void set_up_heap();

}  // namespace amct
