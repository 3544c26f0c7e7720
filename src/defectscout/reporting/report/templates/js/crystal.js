// Which atoms of a periodic structure are drawn, where, and what is bonded to what.
scout.crystal = (() => {
  const NEAR = 6; // Å
  const STRETCH = 1.2; // of a sum of covalent radii, up to which a bond is drawn
  const TINY = 1e-6;

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const plus = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
  const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const times = (a, factor) => [a[0] * factor, a[1] * factor, a[2] * factor];
  const length = (a) => Math.sqrt(dot(a, a));

  // Lattice vectors and their reciprocal ones (without 2π): fractional = reciprocal · Cartesian.
  function lattice(cell) {
    const vectors = [cell.slice(0, 3), cell.slice(3, 6), cell.slice(6, 9)];
    const volume = dot(vectors[0], cross(vectors[1], vectors[2]));
    const reciprocal = [0, 1, 2].map((i) =>
      times(cross(vectors[(i + 1) % 3], vectors[(i + 2) % 3]), 1 / volume),
    );
    const fractional = (position) => reciprocal.map((vector) => dot(vector, position));
    const cartesian = (parts) =>
      [0, 1, 2].map((i) => parts[0] * vectors[0][i] + parts[1] * vectors[1][i] + parts[2] * vectors[2][i]);
    // The shortest image of a difference, of a cell that is not too skewed: the nearest of the neighbouring ones.
    const shortest = (difference) => {
      const first = fractional(difference).map((part) => part - Math.round(part));
      let best = cartesian(first);
      for (let a = -1; a <= 1; a++) {
        for (let b = -1; b <= 1; b++) {
          for (let c = -1; c <= 1; c++) {
            const other = cartesian([first[0] + a, first[1] + b, first[2] + c]);
            if (dot(other, other) < dot(best, best) - TINY) best = other;
          }
        }
      }
      return best;
    };
    return { vectors, reciprocal, fractional, cartesian, shortest, volume: Math.abs(volume) };
  }

  // One structure with what the viewers need of it at hand.
  function structure(data, index) {
    const model = data.models[index];
    const symbols = data.compositions[model.composition].flatMap(([symbol, count]) => Array(count).fill(symbol));
    const positions = symbols.map((_, atom) => model.positions.slice(3 * atom, 3 * atom + 3));
    return { ...model, symbols, positions, lattice: lattice(model.cell), elements: data.elements };
  }

  // All images of a place within a radius of the site, as differences from the site.
  function images(difference, grid, radius) {
    const first = grid.fractional(difference).map((part) => part - Math.round(part));
    const reach = grid.reciprocal.map((vector) => Math.ceil(radius * length(vector)));
    const found = [];
    for (let a = -reach[0]; a <= reach[0]; a++) {
      for (let b = -reach[1]; b <= reach[1]; b++) {
        for (let c = -reach[2]; c <= reach[2]; c++) {
          const place = grid.cartesian([first[0] + a, first[1] + b, first[2] + c]);
          if (dot(place, place) <= radius * radius) found.push(place);
        }
      }
    }
    return found;
  }

  // Places of atoms to draw, relative to the site: those near it, or one cell around it. `base` is the unperturbed
  // structure, whose atoms say which image is drawn, so that both views of a pair show the same atoms.
  function places(shown, base, near) {
    const sameAtoms = base.symbols.length === shown.symbols.length;
    const grid = shown.lattice;
    const drawn = [];
    shown.positions.forEach((position, index) => {
      const here = minus(position, shown.site);
      const start = sameAtoms ? minus(base.positions[index], base.site) : here;
      const moved = grid.shortest(minus(here, start));
      const put = (place) => drawn.push({ index, place: plus(place, moved) });
      if (near) {
        const starts = images(start, grid, NEAR);
        starts.forEach(put);
        images(here, grid, NEAR)
          .filter((place) => !starts.some((other) => length(minus(plus(other, moved), place)) < 0.01))
          .forEach((place) => drawn.push({ index, place }));
      } else {
        const parts = grid.fractional(start).map((part) => part - Math.floor(part + 0.5 + TINY));
        put(grid.cartesian(parts));
      }
    });
    return drawn;
  }

  // Atoms, bonds and the cell, relative to the site.
  function environment(shown, base, near) {
    const atoms = places(shown, base, near);
    const add = (index, place) => {
      const known = atoms.findIndex((atom) => atom.index === index && length(minus(atom.place, place)) < 0.01);
      return known >= 0 ? known : atoms.push({ index, place }) - 1;
    };
    const fresh = new Set(shown.bonds.flatMap(([one, other]) => [`${one} ${other}`, `${other} ${one}`]));

    // Each new bond where it lies nearest to the site; an end outside what is drawn is added.
    const newBonds = shown.bonds.map(([one, other, size]) => {
      const start = shown.lattice.shortest(minus(shown.positions[one], shown.site));
      const step = shown.lattice.shortest(minus(shown.positions[other], shown.positions[one]));
      const first = atoms.findIndex(
        (atom) => atom.index === one &&
          atoms.some((end) => end.index === other && length(minus(minus(end.place, atom.place), step)) < 0.01),
      );
      const from = first >= 0 ? first : add(one, start);
      return { from, to: add(other, plus(atoms[from].place, step)), length: size };
    });

    const bonds = [];
    const radius = (atom) => shown.elements[shown.symbols[atom.index]].radius;
    const widest = 2 * Math.max(...atoms.map(radius)) * STRETCH;
    const order = atoms.map((atom, index) => [atom.place[0], index]).sort((one, other) => one[0] - other[0]);
    order.forEach(([x, from], place) => {
      for (let next = place + 1; next < order.length && order[next][0] - x < widest; next++) {
        const to = order[next][1];
        const gap = length(minus(atoms[from].place, atoms[to].place));
        const pair = `${atoms[from].index} ${atoms[to].index}`;
        if (gap > 0.4 && gap < STRETCH * (radius(atoms[from]) + radius(atoms[to])) && !fresh.has(pair)) {
          bonds.push({ from, to });
        }
      }
    });

    const corners = [];
    for (let corner = 0; corner < 8; corner++) {
      corners.push(shown.lattice.cartesian([corner & 1, (corner >> 1) & 1, corner >> 2].map((bit) => bit - 0.5)));
    }
    const edges = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];
    const empty = base.positions.every((position) => length(base.lattice.shortest(minus(position, base.site))) > 0.8);
    return {
      atoms: atoms.map(({ index, place }) => ({
        index, place, symbol: shown.symbols[index], displacement: shown.displacements[index], radius: radius({ index }),
      })),
      bonds, newBonds, corners, edges, empty,
    };
  }

  // Cells in which the surroundings of the site are no larger than the whole need no view of their own.
  const isBig = (shown) => shown.symbols.length > 40;

  return { structure, environment, lattice, isBig, dot, cross, plus, minus, times, length };
})();
