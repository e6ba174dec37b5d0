# shellcheck shell=bash
# Open MPI on one machine: as root where we are root (containers), more ranks than cores allowed, waiting ranks give their core away.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_orte_base_help_aggregate=0
export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo

# One rank a core, four at most: the lab is small.
lab_ranks() {
  local cores
  cores=$(nproc)
  echo $((cores < 4 ? cores : 4))
}
