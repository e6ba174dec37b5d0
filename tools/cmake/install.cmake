# What cmake --install copies, in the folders of GNUInstallDirs. All paths between installed files are relative, so the
# prefix may be moved; LibTorch, MPI and the other libraries stay where they are.
#
#   bin/rocket                        the program
#   lib/librocket_*.so                what it loads
#   share/rocket/configs, slurm       configurations; slurm/submit and its files
#   share/doc/rocket                  README.md, LICENSE, docs/, ... with the folders of the repository
#   share/man/man1                    rocket(1) and a page for each command, made from the command line
#   share/bash-completion, zsh, fish  completions, made from the command line
#   share/modulefiles/rocket/VERSION  for Environment Modules and Lmod
set(ROCKET_DATA ${CMAKE_INSTALL_DATADIR}/rocket)

install(TARGETS rocket RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS rocket_engine rocket_version rocket_commit LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET rocket_cuda_graphs)
  install(TARGETS rocket_cuda_graphs LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

install(DIRECTORY configs DESTINATION ${ROCKET_DATA})
install(PROGRAMS slurm/submit slurm/rocket.sbatch DESTINATION ${ROCKET_DATA}/slurm)
install(FILES slurm/site.conf slurm/README.md DESTINATION ${ROCKET_DATA}/slurm)
install(FILES README.md CONTRIBUTING.md CHANGELOG.md CITATION.cff LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
# What the documents link to, so that no link is dead.
foreach(page slurm/README.md src/README.md tests/README.md tests/bench/README.md tests/bench/LOG.md tests/data/README.md
        tests/device/README.md tests/gpu/README.md tests/lab/README.md tests/lab/measured/results.md)
  get_filename_component(folder ${page} DIRECTORY)
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN defaults.yaml
  PATTERN paper EXCLUDE PATTERN sweeps EXCLUDE PATTERN tasks EXCLUDE)

# The modulefile finds the prefix from its own place.
file(RELATIVE_PATH ROCKET_MODULE_TO_PREFIX ${CMAKE_INSTALL_FULL_DATADIR}/modulefiles/rocket ${CMAKE_INSTALL_PREFIX})
configure_file(tools/cmake/modulefile.in ${PROJECT_BINARY_DIR}/modulefile @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/modulefile DESTINATION ${CMAKE_INSTALL_DATADIR}/modulefiles/rocket RENAME ${PROJECT_VERSION})

# A program for another machine cannot be asked for its command line here.
if(NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR)
  set(documentation ${PROJECT_BINARY_DIR}/documentation)
  add_custom_command(OUTPUT ${documentation}/interface.json COMMAND ${CMAKE_COMMAND} -E rm -rf ${documentation}/man
    COMMAND rocket_documentation ${documentation} DEPENDS rocket_documentation COMMENT "Writing man pages and completions" VERBATIM)
  add_custom_target(documentation ALL DEPENDS ${documentation}/interface.json)
  install(DIRECTORY ${documentation}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${documentation}/rocket DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${documentation}/_rocket DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${documentation}/rocket.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
