# Tests under mpirun: `rocket_mpi_test(NAME n RANKS 3 COMMAND target args... [LAUNCHES])` runs the command on 3 ranks, or,
# with LAUNCHES, lets the command itself call mpirun. Both get an environment in which Open MPI starts as root, on fewer
# cores than ranks and without a network. Other MPI libraries ignore it.
set(ROCKET_MPI_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
  OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
  OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_orte_base_help_aggregate=0
  # Open MPI 5 has other names for the same.
  PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
  PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe PRTE_MCA_hwloc_default_binding_policy=none
  MPIEXEC=${MPIEXEC_EXECUTABLE})

function(rocket_mpi_test)
  cmake_parse_arguments(T "LAUNCHES" "NAME;RANKS;TIMEOUT" "COMMAND" ${ARGN})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  set(command ${T_COMMAND})
  if(NOT T_LAUNCHES)
    list(POP_FRONT T_COMMAND target)
    set(command ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${T_RANKS} $<TARGET_FILE:${target}> ${T_COMMAND})
    set(processors ${T_RANKS})
  else()
    set(processors 2)
  endif()
  add_test(NAME ${T_NAME} COMMAND ${command} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${T_NAME} PROPERTIES
    ENVIRONMENT "${ROCKET_MPI_ENVIRONMENT}" TIMEOUT ${T_TIMEOUT} PROCESSORS ${processors})
endfunction()
