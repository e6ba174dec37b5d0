# One static library per folder of src/. TORCH modules are compiled against LibTorch with a shared
# precompiled header (28 s a file become 4 s); all others never see it. WITHOUT leaves out files of the folder.
function(rocket_module name)
  cmake_parse_arguments(M "TORCH" "" "DEPENDS;SOURCES;WITHOUT" ${ARGN})
  if(NOT M_SOURCES)
    file(GLOB M_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*/*.cpp)
  endif()
  foreach(file ${M_WITHOUT})
    list(REMOVE_ITEM M_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${file})
  endforeach()
  if(NOT M_SOURCES)
    set(M_SOURCES ${PROJECT_BINARY_DIR}/empty.cpp)
    file(WRITE ${M_SOURCES} "")
  endif()
  add_library(rocket_${name} STATIC ${M_SOURCES})
  target_include_directories(rocket_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(rocket_${name} PUBLIC ${M_DEPENDS})
  if(M_TORCH)
    target_link_libraries(rocket_${name} PUBLIC rocket_torch)
    rocket_use_torch_pch(rocket_${name})
  endif()
endfunction()

# A precompiled header that many targets share: that of one tiny library. ARGN: headers.
function(rocket_shared_pch name)
  # Written where it is absent: a new time would make everything that uses the header anew.
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/empty_pch.cpp CONTENT "")
  add_library(${name} STATIC ${PROJECT_BINARY_DIR}/empty_pch.cpp)
  target_link_libraries(${name} PUBLIC rocket_torch fmt::fmt nlohmann_json::nlohmann_json)
  target_precompile_headers(${name} PRIVATE <ATen/ATen.h> <fmt/format.h> <nlohmann/json.hpp> <vector> <string> ${ARGN})
  target_compile_options(${name} PRIVATE -fpch-preprocess)
endfunction()

function(rocket_use_pch target name)
  # A program's own -fPIE would not fit the header, which was compiled with a library's -fPIC.
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC -fpch-preprocess)
  target_precompile_headers(${target} REUSE_FROM ${name})
endfunction()

# All targets with LibTorch share one precompiled header.
function(rocket_use_torch_pch target)
  if(NOT TARGET rocket_torch_pch)
    rocket_shared_pch(rocket_torch_pch)
  endif()
  rocket_use_pch(${target} rocket_torch_pch)
endfunction()

# A text file that travels inside the program: `#include "<module>/<file>.inc"` is its text as a string literal.
function(rocket_embed module file)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${module}/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  file(READ ${source} text)
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/embedded/${module}/${file}.inc CONTENT "R\"embed(@text@)embed\"\n" @ONLY)
  target_include_directories(rocket_${module} PRIVATE ${PROJECT_BINARY_DIR}/embedded)
endfunction()
