// From where to look. Orientations are quaternions [x, y, z, w] from the structure's axes to the screen's (right, up,
// towards the reader), as 3Dmol.js has them.
scout.orientation = (() => {
  const { dot, cross, minus, times, plus, length } = scout.crystal;
  const unit = (vector) => times(vector, 1 / length(vector));

  function quaternion(right, up, out) {
    const trace = right[0] + up[1] + out[2];
    let q;
    if (trace > 0) {
      const s = 2 * Math.sqrt(trace + 1);
      q = [(out[1] - up[2]) / s, (right[2] - out[0]) / s, (up[0] - right[1]) / s, s / 4];
    } else if (right[0] > up[1] && right[0] > out[2]) {
      const s = 2 * Math.sqrt(1 + right[0] - up[1] - out[2]);
      q = [s / 4, (right[1] + up[0]) / s, (right[2] + out[0]) / s, (out[1] - up[2]) / s];
    } else if (up[1] > out[2]) {
      const s = 2 * Math.sqrt(1 + up[1] - right[0] - out[2]);
      q = [(right[1] + up[0]) / s, s / 4, (up[2] + out[1]) / s, (right[2] - out[0]) / s];
    } else {
      const s = 2 * Math.sqrt(1 + out[2] - right[0] - up[1]);
      q = [(right[2] + out[0]) / s, (up[2] + out[1]) / s, s / 4, (up[0] - right[1]) / s];
    }
    return q;
  }

  function rotate([x, y, z, w], vector) {
    const axis = [x, y, z];
    const twice = times(cross(axis, vector), 2);
    return plus(plus(vector, times(twice, w)), cross(axis, twice));
  }

  function product([ax, ay, az, aw], [bx, by, bz, bw]) {
    return [
      aw * bx + ax * bw + ay * bz - az * by,
      aw * by - ax * bz + ay * bw + az * bx,
      aw * bz + ax * by - ay * bx + az * bw,
      aw * bw - ax * bx - ay * by - az * bz,
    ];
  }

  // About the screen's axes: right, then up; degrees.
  function turned(orientation, aboutRight, aboutUp) {
    const half = (degrees) => (degrees * Math.PI) / 360;
    const one = [Math.sin(half(aboutRight)), 0, 0, Math.cos(half(aboutRight))];
    const other = [0, Math.sin(half(aboutUp)), 0, Math.cos(half(aboutUp))];
    return product(product(one, other), orientation);
  }

  // Evenly spread directions on a half sphere: opposite ones show the same but for what hides what.
  function directions(count) {
    return Array.from({ length: count }, (_, index) => {
      const z = 1 - (2 * index + 1) / count;
      const angle = index * Math.PI * (3 - Math.sqrt(5));
      const r = Math.sqrt(1 - z * z);
      return [r * Math.cos(angle), r * Math.sin(angle), z];
    });
  }

  // New bonds across the line of sight, with few atoms before them; without new bonds, few atoms before the site.
  function score(view, { atoms, newBonds }) {
    const ends = newBonds.map(({ from, to }) => [atoms[from].place, atoms[to].place]);
    const spots = ends.length ? ends.flatMap(([one, other]) => [one, other, times(plus(one, other), 0.5)]) : [[0, 0, 0]];
    let hidden = 0;
    spots.forEach((spot) => {
      atoms.forEach((atom) => {
        const gap = minus(atom.place, spot);
        const depth = dot(gap, view);
        if (depth < 0.5) return;
        const aside = Math.sqrt(Math.max(dot(gap, gap) - depth * depth, 0));
        hidden += Math.max(0, 1 - aside / 1.6);
      });
    });
    // Rows of atoms seen end on tell less than rows seen from aside.
    let stacked = 0;
    atoms.forEach((atom, index) => {
      for (let other = 0; other < index; other++) {
        const gap = minus(atom.place, atoms[other].place);
        const depth = dot(gap, view);
        stacked += Math.max(0, 1 - Math.sqrt(Math.max(dot(gap, gap) - depth * depth, 0)));
      }
    });
    const across = ends.reduce((sum, [one, other]) => sum + 1 - dot(unit(minus(other, one)), view) ** 2, 0);
    return (ends.length ? (2 * across) / ends.length : 0) - hidden / spots.length - stacked / atoms.length;
  }

  function best(environment, grid) {
    const candidates = directions(160);
    const view = candidates.reduce(
      (top, direction) => {
        const value = score(direction, environment);
        return value > top.value ? { value, direction } : top;
      },
      { value: -Infinity, direction: candidates[0] },
    ).direction;
    // The lattice vector that lies most across the line of sight points up.
    const up = grid.vectors
      .map((vector) => minus(unit(vector), times(view, dot(unit(vector), view))))
      .reduce((top, vector) => (length(vector) > length(top) + 1e-3 ? vector : top));
    const upright = unit(up);
    return quaternion(cross(upright, view), upright, view);
  }

  return { best, rotate, turned };
})();
