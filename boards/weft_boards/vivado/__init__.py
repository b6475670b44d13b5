"""Projects for AMD Vivado: IP-XACT packaging, a block design, scripts, and running Vivado where it is installed."""
