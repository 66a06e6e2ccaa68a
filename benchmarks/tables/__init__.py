"""What densities of tables are worth, on real tables, beside other tools."""
