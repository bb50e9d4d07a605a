import { Link } from "../parts/link";
import { EmptyNote } from "../parts/notes";

export function NotFoundPage() {
  return (
    <EmptyNote title="There is no such page">
      <p>
        <Link to="/runs">All runs</Link> is a good place to go on from.
      </p>
    </EmptyNote>
  );
}
