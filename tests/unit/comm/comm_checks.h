// What every Comm must do, as seen by each of its ranks: run over threads and over MPI. All sums are of whole
// numbers, hence exact, and no two ranks bring the same.
#pragma once

#include "comm/comm.h"

namespace rocket::testing {

/// Collective.
void check_comm(Comm& comm);
void check_agreement(Comm& comm);
void check_units(Comm& comm);
void check_fixed_order_sum(Comm& comm);

}  // namespace rocket::testing
