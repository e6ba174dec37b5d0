# CUDA and NCCL behind one option. What needs them sits in src/comm/nccl_reducer.cpp and
# src/model/device_cuda.cpp; *_stub.cpp stands in for each where they are absent.
set(ROCKET_HAVE_CUDA OFF)
if(NOT ROCKET_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 13 QUIET)
  find_path(ROCKET_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/include)
  find_library(ROCKET_NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR} /usr/local/lib)
  if(CUDAToolkit_FOUND AND ROCKET_NCCL_INCLUDE AND ROCKET_NCCL_LIBRARY AND EXISTS ${ROCKET_TORCH_ROOT}/lib/libtorch_cuda.so)
    set(ROCKET_HAVE_CUDA ON)
  elseif(ROCKET_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ROCKET_CUDA=ON needs the CUDA 13 tool kit (nvcc), NCCL (nccl.h, libnccl.so) and a LibTorch with "
      "libtorch_cuda.so. Found: tool kit '${CUDAToolkit_VERSION}', nccl.h in '${ROCKET_NCCL_INCLUDE}', '${ROCKET_NCCL_LIBRARY}'.")
  endif()
endif()
message(STATUS "CUDA and NCCL: ${ROCKET_HAVE_CUDA}")
