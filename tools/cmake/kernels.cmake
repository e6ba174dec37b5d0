# The CPU kernels are compiled once for each instruction set and chosen when the program starts.
set(ROCKET_KERNELS_WITHOUT "")
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(ROCKET_KERNELS_WITHOUT kernels_avx2.cpp kernels_avx512.cpp)
endif()

# Optimised in every build type: a product of an unoptimised build is thirty times slower.
function(rocket_kernel_flags)
  set(avx2 -mavx2 -mfma)
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  set_source_files_properties(kernels/kernels_portable.cpp PROPERTIES COMPILE_OPTIONS "-O3")
  set_source_files_properties(kernels/kernels_avx2.cpp PROPERTIES COMPILE_OPTIONS "-O3;${avx2}")
  set_source_files_properties(kernels/kernels_avx512.cpp PROPERTIES COMPILE_OPTIONS "-O3;${avx512}")
endfunction()
