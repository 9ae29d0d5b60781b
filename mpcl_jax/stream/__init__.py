"""Live samples of sensors to distributions: windows, wearer's memory and sources of `mpcl.stream`."""
