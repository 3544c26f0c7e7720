// Structures as files, with all digits that the page holds.
scout.formats = (() => {
  const { dot, length } = scout.crystal;
  const number = (value, digits, width) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").padStart(width);

  // Elements together, as VASP's potential files need them, in the order of their first atoms.
  function poscar(structure) {
    const kinds = [...new Set(structure.symbols)];
    const groups = kinds.map((kind) => structure.symbols.flatMap((symbol, index) => (symbol === kind ? [index] : [])));
    const { vectors, fractional } = structure.lattice;
    return [
      `${structure.key} ${structure.caption}`.replace(/\s+/g, " ").trim(),
      "1.0",
      ...vectors.map((vector) => vector.map((value) => number(value, 8, 16)).join(" ")),
      kinds.join(" "),
      groups.map((group) => group.length).join(" "),
      "Direct",
      ...groups.flat().map((index) =>
        fractional(structure.positions[index]).map((value) => number(value, 12, 18)).join(" "),
      ),
      "",
    ].join("\n");
  }

  function cif(structure) {
    const { vectors, fractional, volume } = structure.lattice;
    const sizes = vectors.map(length);
    const angle = (i, j) => (Math.acos(dot(vectors[i], vectors[j]) / (sizes[i] * sizes[j])) * 180) / Math.PI;
    const counts = {};
    const atoms = structure.symbols.map((symbol, index) => {
      counts[symbol] = (counts[symbol] ?? 0) + 1;
      const parts = fractional(structure.positions[index]).map((value) => number(value, 12, 16));
      return `  ${symbol.padEnd(3)} ${`${symbol}${counts[symbol]}`.padEnd(6)} ${parts.join(" ")} 1.0`;
    });
    const formula = Object.keys(counts).sort().map((symbol) => `${symbol}${counts[symbol]}`).join(" ");
    return [
      `data_${structure.key.replace(/[^\w.+-]/g, "_")}`,
      `_chemical_formula_sum              '${formula}'`,
      `_cell_length_a                     ${number(sizes[0], 8, 0)}`,
      `_cell_length_b                     ${number(sizes[1], 8, 0)}`,
      `_cell_length_c                     ${number(sizes[2], 8, 0)}`,
      `_cell_angle_alpha                  ${number(angle(1, 2), 8, 0)}`,
      `_cell_angle_beta                   ${number(angle(0, 2), 8, 0)}`,
      `_cell_angle_gamma                  ${number(angle(0, 1), 8, 0)}`,
      `_cell_volume                       ${number(volume, 6, 0)}`,
      "_space_group_name_H-M_alt          'P 1'",
      "_space_group_IT_number             1",
      "",
      "loop_",
      "  _space_group_symop_operation_xyz",
      "  'x, y, z'",
      "",
      "loop_",
      "  _atom_site_type_symbol",
      "  _atom_site_label",
      "  _atom_site_fract_x",
      "  _atom_site_fract_y",
      "  _atom_site_fract_z",
      "  _atom_site_occupancy",
      ...atoms,
      "",
    ].join("\n");
  }

  // Extended XYZ: the cell, and how far each atom is displaced where that is known of all.
  function xyz(structure) {
    const cell = structure.cell.map((value) => number(value, 8, 0)).join(" ");
    const displaced = structure.displacements.every((value) => value !== null);
    const columns = `species:S:1:pos:R:3${displaced ? ":displacement:R:1" : ""}`;
    return [
      String(structure.symbols.length),
      `Lattice="${cell}" Properties=${columns} pbc="T T T"`,
      ...structure.symbols.map((symbol, index) =>
        [
          symbol.padEnd(3),
          ...structure.positions[index].map((value) => number(value, 8, 16)),
          ...(displaced ? [number(structure.displacements[index], 4, 9)] : []),
        ].join(" "),
      ),
      "",
    ].join("\n");
  }

  // Names that other programs tell the format by.
  return {
    poscar: { text: poscar, name: (key) => `POSCAR_${key}.vasp` },
    cif: { text: cif, name: (key) => `${key}.cif` },
    xyz: { text: xyz, name: (key) => `${key}.xyz` },
  };
})();
