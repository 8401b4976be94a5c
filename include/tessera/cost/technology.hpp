#pragma once

/// How digital energy, area and supply follow the technology node (Stillmaker and Baas, Integration 58 (2017) 74, as
/// tabulated in Accelergy's hwcomponents, MIT, (c) 2025 Tanner Andrulis; docs/models/cost.md, "Technology").
///
/// Between nodes of the table: linear in the logarithms of node and value; beyond its ends the last slope goes on.
/// The table is a model of logic: from 28 nm down the node names a generation, not a length.
namespace tessera::cost {

/// The nodes of the table end here, nm.
inline constexpr double smallest_node_nm = 7.0;
inline constexpr double largest_node_nm = 130.0;

/// Nominal core supply of a node, V.
double nominal_supply_V(double node_nm);
/// Switching energy of logic at node F and supply V against that at 45 nm and 0.9 V:
///     dig(F, V) = e_F(0.9) / e_45(0.9) (V / 0.9)^2,  e_F(V) = a V^2 + b V + c.
double digital_energy_factor(double node_nm, double supply_V);
/// Area of logic against that at 45 nm.
double logic_area_factor(double node_nm);

}  // namespace tessera::cost
