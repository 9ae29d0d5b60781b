"""The stages of MPCL, one file each, in the paper's words."""
