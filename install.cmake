# What `make install` puts where: GNUInstallDirs below the prefix. The pkg-config file finds its
# prefix from where it lies; the unit names the programs by their full paths.
include(GNUInstallDirs)

install(TARGETS adderd adder_cli adder-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS adder ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ipc/adder.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

file(RELATIVE_PATH ADDER_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" ADDER_PC_UP "${ADDER_PC_UP}")
configure_file(ipc/adder.pc.in ${CMAKE_BINARY_DIR}/adder.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/adder.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# With the prefix of the installation, which may be another than that of the configuration.
install(CODE "set(ADDER_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
configure_file(\"${CMAKE_SOURCE_DIR}/docker/adderd.service.in\"
               \"${CMAKE_BINARY_DIR}/adderd.service\" @ONLY)")
install(FILES ${CMAKE_BINARY_DIR}/adderd.service DESTINATION lib/systemd/system)
install(FILES docker/adder.sysusers DESTINATION lib/sysusers.d RENAME adder.conf)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES docker/adderd.yaml docker/alerts.yml docker/grafana/adder.json
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
