# shellcheck shell=bash
# Debian packages used from a folder of their own, on a machine where nothing may be installed.

# unpack_packages FOLDER PREFIX : all .deb files of FOLDER into PREFIX, made anew, and what their installation would have done there.
unpack_packages() {
  local package known file
  rm -rf "$2"
  mkdir -p "$2/usr/lib" "$2/lacking"
  ln -s usr/lib "$2/lib"  # one folder, as on today's systems
  for package in "$1"/*.deb; do
    if command -v dpkg-deb > /dev/null; then
      dpkg-deb --fsys-tarfile "$package" > "$2/data.tar"
    else
      ar p "$package" "$(ar t "$package" | grep '^data\.tar')" > "$2/data.tar"  # compressed still; tar sees how
    fi
    tar -xf "$2/data.tar" -C "$2" --no-same-owner --keep-directory-symlink
  done
  rm "$2/data.tar"
  for file in mpirun mpiexec mpicc; do
    ln -sf "$file.openmpi" "$2/usr/bin/$file"
  done
  find "$2" -type l -lname '/*' | while read -r file; do
    ln -sfn "$2$(readlink "$file")" "$file"
  done
  find "$2" -name '*.pc' -exec sed -i "s|=/usr|=$2/usr|" {} +

  # LD_LIBRARY_PATH goes before the machine's own libraries, whose programs may want newer ones than ours: it names those it lacks.
  known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
  for file in "$2"/usr/lib/*-linux-gnu/lib*.so.*; do
    [[ $known == *"${file##*/} ("* ]] || ln -s "$file" "$2/lacking"
  done
}

# use_packages PREFIX : compilers, CMake and programs of this shell find what unpack_packages put there.
use_packages() {
  local libraries
  libraries=$(echo "$1"/usr/lib/*-linux-gnu)
  export PATH=$1/usr/bin:$PATH
  export LD_LIBRARY_PATH=$1/lacking${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export CMAKE_PREFIX_PATH=$1/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
  export PKG_CONFIG_PATH=$libraries/pkgconfig:$1/usr/share/pkgconfig
  export HDF5_ROOT=$libraries/hdf5/serial MPI_HOME=$1/usr
  # Open MPI asks its own folder for plugins and messages. Those for networks lack their libraries, and nobody misses them.
  export OPAL_PREFIX=$1/usr PMIX_LIBDIR=$libraries/pmix2/lib PMIX_DATADIR=$libraries/pmix2/share
  export OMPI_MCA_mca_base_component_show_load_errors=0
  # It knows ssh as the way to other hosts and will not start without; there are none.
  command -v ssh > /dev/null || export OMPI_MCA_plm=isolated
}
